# Terraform and OpenTofu: what there is in a cloud. All of it needs a human's yes, but for what is only described. What runs
# code, opens, reveals, gives away or loses something is for humans. What has to be computed stands as its text, `{"$": "var.x"}`:
# of that, it is not believed that it comes to nothing bad. A policy names providers of others, by who publishes them:
#
#     package agentguard.lib
#     terraform_publishers contains "cloudflare"
package agentguard.push.terraform

import data.agentguard.lib

ask contains {
	"id": "terraform/changed",
	"reason": sprintf("`%s` says what there is in a cloud", [change.path]),
	"remedy": "have a human make this change, and push the rest without it",
} if {
	some change in input.action.paths
	is_terraform(lower(change.path))
	not is_harmless(change.path)
}

deny contains {
	"id": "terraform/unread",
	"reason": sprintf("`%s` says what there is in a cloud, and cannot be read: %s", [file.path, file.unread]),
	"remedy": "write it so that all readers read the same, or have a human make this change",
} if {
	some file in files
	file.unread
}

# Whether something is lost, or not guarded any more, is told by what was there.
deny contains {
	"id": "terraform/unseen",
	"reason": sprintf("`%s` says what there is in a cloud, and it is not known what it said before: %s", [file.path, file.unseen]),
	"remedy": "push it with git, which shows what it said",
} if {
	some file in files
	file.unseen
}

deny contains {
	"id": "terraform/runs",
	"reason": sprintf("`%s` has code run where it is applied: `%s`", [file.path, found.at]),
	"remedy": "do without, or have a human make this change",
} if {
	some file in files
	some found in runs(file, "after") - runs(file, "before")
}

deny contains {
	"id": "terraform/unpinned",
	"reason": sprintf("`%s` takes `%s` from where somebody else can change it", [file.path, found.at]),
	"remedy": "name a module of the registry by its exact version, one of git by its whole commit (`?ref=<40 hex digits>`), a provider of a known publisher by its exact version",
} if {
	some file in files
	some found in sources(file, "after") - sources(file, "before")
	not is_pinned(found)
}

deny contains {
	"id": "terraform/open",
	"reason": sprintf("`%s` lets everybody in at `%s`", [file.path, found.at]),
	"remedy": "name the addresses that it is for",
} if {
	some file in files
	some found in opens(file, "after") - opens(file, "before")
}

deny contains {
	"id": "terraform/public",
	"reason": sprintf("`%s` makes public what is at `%s`", [file.path, found.at]),
	"remedy": "leave it private, or have a human make this change",
} if {
	some file in files
	some found in leaves(file, "after") - leaves(file, "before")
	is_public(found)
}

deny contains {
	"id": "terraform/access",
	"reason": sprintf("`%s` gives somebody rights over everything at `%s`", [file.path, found.at]),
	"remedy": "name what may be done, and to what",
} if {
	some file in files
	some found in grants(file, "after") - grants(file, "before")
}

deny contains {
	"id": "terraform/secrets",
	"reason": sprintf("`%s` holds a secret, or reveals one, at `%s`", [file.path, found.at]),
	"remedy": "have a human keep it where secrets are kept",
} if {
	some file in files
	some found in leaves(file, "after") - leaves(file, "before")
	is_secret(found)
}

deny contains {
	"id": "terraform/protection",
	"reason": sprintf("`%s` takes away at `%s` what guards it", [file.path, place]),
	"remedy": "leave it, or have a human make this change",
} if {
	some file in files
	some place in unguarded(file)
}

deny contains {
	"id": "terraform/state",
	"reason": sprintf("`%s` changes at `%s` where it is kept what there is, or what of it is known", [file.path, place]),
	"remedy": "have a human make this change",
} if {
	some file in files
	some place in state(file)
}

deny contains {
	"id": "terraform/loss",
	"reason": sprintf("`%s` takes away `%s`, and with it what it holds", [file.path, address]),
	"remedy": "have a human remove it, after a backup",
} if {
	some file in files
	some address in lasting(file) - there(file)
}

# Each with what stands in it, where something changes, found once.
files := [object.union(file, {
	"leaves": {"before": values(file, "before"), "after": values(file, "after")},
	"objects": {"before": blocks(file, "before"), "after": blocks(file, "after")},
}) |
	some file in input.action.infrastructure
	file.kind == "terraform"
]

is_terraform(path) if {
	regex.match(`\.(tf|tofu|tfvars|tfbackend)(\.json)?$|(^|/)(\.terraform\.lock|root|terragrunt)\.hcl$|\.(tf|tofu)[a-z]*\.hcl(\.json)?$`, path)
}

# Comments, how it is written, and what is said for humans to read.
is_harmless(path) if {
	these := [file | some file in files; file.path == path]
	count(these) > 0
	every file in these {
		not file.unread
		not file.unseen
		"before" in object.keys(file)
		"after" in object.keys(file)
		every change in file.changes {
			is_description(change)
		}
	}
}

is_description(change) if {
	change.at[0] in {"output", "variable"}
	count(change.at) == 4
	change.at[3] == "description"
	is_string(change.after)
}

document(file, when) := object.get(file, when, {})

words(at) := [word | some word in at; is_string(word); word != "$"]

leaves(file, when) := file.leaves[when]

objects(file, when) := file.objects[when]

# Each value, at its place: blocks of one name are not told apart.
values(file, when) := {{"at": concat(".", names), "name": names[count(names) - 1], "value": value, "computed": "$" in at} |
	some part in parts(file, when)
	walk(part.value, [below, value])
	not is_object(value)
	not is_array(value)
	at := array.concat(part.at, below)
	names := words(at)
	count(names) > 0
}

# Each block or object, whole, so that what stands beside a value counts.
blocks(file, when) := {{"at": concat(".", names), "value": value} |
	some part in parts(file, when)
	walk(part.value, [below, value])
	is_object(value)
	not "$" in object.keys(value)
	names := words(array.concat(part.at, below))
	count(names) > 0
}

# What is the same before and after is not looked into: whole blocks, as far as they have names.
parts(file, when) := {{"at": [], "value": document(file, when)} | is_whole(file)} | {{"at": at, "value": value} |
	not is_whole(file)
	some at in {stood(file, change) | some change in file.changes}
	value := object.get(document(file, when), at, "absent")
	value != "absent"
}

# Lists have no names.
stood(file, change) := at if {
	at := array.slice(change.at, 0, depth(change.at[0]))
	is_found(file, at)
}

stood(file, change) := array.slice(change.at, 0, 1) if not is_found(file, array.slice(change.at, 0, depth(change.at[0])))

is_found(file, at) if {
	some when in {"before", "after"}
	object.get(document(file, when), at, "absent") != "absent"
}

is_whole(file) if {
	some change in file.changes
	count(change.at) == 0
}

depth(name) := 3 if name in {"data", "resource"}

depth(name) := 2 if name in {"module", "output", "provider", "variable"}

depth(name) := 1 if not name in {"data", "module", "output", "provider", "resource", "variable"}

runs(file, when) := {one |
	some one in objects(file, when)
	regex.match(`(^|\.)(provisioner|before_hook|after_hook|error_hook)\.[^.]+$|^(resource|data|ephemeral|check\.[^.]+\.data)\.(external|shell_[a-z_]+)\.[^.]+$|^provider\.[^.]+\..*exec$|^provider\.[^.]+\.exec$`, one.at)
} | {one |
	some one in leaves(file, when)
	regex.match(`(^|\.)(credential_process|before_hook|after_hook|error_hook)(\.|$)`, one.at)
} | {one |
	some one in leaves(file, when)
	one.computed
	regex.match(`\brun_cmd\s*\(`, one.value)
}

# Modules, and what terragrunt calls so; providers.
sources(file, when) := {{"at": one.at, "value": object.filter(one.value, {"source", "version"}), "what": "module"} |
	some one in objects(file, when)
	regex.match(`^(module\.[^.]+|terraform)$`, one.at)
	one.value.source
} | {{"at": concat(".", words(at)), "value": value, "what": "provider"} |
	walk(document(file, when), [at, value])
	names := words(at)
	names[count(names) - 2] == "required_providers"
	not is_array(value)
} | {{"at": one.at, "value": one.value, "what": "computed"} |
	some one in leaves(file, when)
	one.computed
	endswith(one.at, ".required_providers")
}

is_pinned(found) if {
	found.what == "module"
	source := found.value.source
	is_string(source)
	regex.match(`^\.\.?/[A-Za-z0-9_./-]*$`, source)
}

is_pinned(found) if {
	found.what == "module"
	is_string(found.value.source)
	regex.match(`^[A-Za-z0-9_-]+/[A-Za-z0-9_-]+/[a-z0-9-]+(//[A-Za-z0-9_./-]+)?$`, found.value.source)
	is_exact(found.value.version)
}

is_pinned(found) if {
	found.what == "module"
	is_string(found.value.source)
	regex.match(`^(git::(https|ssh)://|github\.com/)[^?]+\?ref=[0-9a-f]{40}$`, found.value.source)
}

is_pinned(found) if {
	found.what == "provider"
	is_object(found.value)
	source := object.get(found.value, "source", "hashicorp/")
	is_string(source)
	parts := regex.find_all_string_submatch_n(`^(?:registry\.(?:terraform\.io|opentofu\.org)/)?([A-Za-z0-9-]+)/[A-Za-z0-9-]*$`, source, 1)
	lower(parts[0][1]) in lib.terraform_publishers
	is_exact(found.value.version)
}

is_exact(version) if {
	is_string(version)
	regex.match(`^\s*=?\s*v?[0-9]+\.[0-9]+\.[0-9]+\s*$`, version)
}

# Ways in: not what is let out, nor where it is sent.
opens(file, when) := {one |
	some one in objects(file, when)
	some name, value in one.value
	not name in {"destination_cidr_block", "destination_ipv6_cidr_block", "destination_ranges"}
	not regex.match(`^resource\.[^.]+\.[^.]+\.([^.]+\.)*(egress|route)(\.content)?$|^resource\.[^.]+_(egress_rule|route)\.[^.]+$`, one.at)
	not is_outward(one.value)
	is_everybody(name, value)
} | {one |
	some one in leaves(file, when)
	not contains(one.at, ".")
	is_everywhere(one.value)
}

is_outward(block) if block.type == "egress"

is_outward(block) if {
	is_string(block.direction)
	lower(block.direction) in {"egress", "outbound"}
}

is_everybody(_, value) if is_everywhere(value)

is_everybody(_, value) if is_everywhere(value["$"])

is_everybody(_, value) if {
	is_array(value)
	some one in value
	is_everywhere(one)
}

is_everybody(_, value) if {
	is_array(value)
	some one in value
	is_everywhere(one["$"])
}

is_everybody(name, value) if {
	contains(name, "source_address_prefix")
	regex.match(`(?i)^["\[ ]*(\*|any|internet)\b|\*`, sprintf("%v", [value]))
}

# Any address, or half of all and more. Also in what is computed.
is_everywhere(value) if {
	is_string(value)
	regex.match(`(^|[^0-9.])[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+/[0-7]([^0-9]|$)|[0-9a-fA-F:]*::?[0-9a-fA-F:]*/[0-7]([^0-9]|$)`, value)
}

is_public(found) if {
	found.name in {
		"allow_blob_public_access", "allow_nested_items_to_be_public", "allow_public_access", "associate_public_ip_address",
		"map_public_ip_on_launch", "public_access", "public_ip_enabled", "public_network_access_enabled", "publicly_accessible",
		"endpoint_public_access",
	}
	not found.value in {false, null, "false"}
}

is_public(found) if {
	found.name in {
		"block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets", "uniform_bucket_level_access",
	}
	not found.value in {true, "true"}
}

is_public(found) if {
	found.name in {"acl", "canned_acl", "predefined_acl"}
	not found.value in {null, "private", "log-delivery-write", "bucket-owner-full-control", "bucket-owner-read", "projectPrivate"}
}

is_public(found) if {
	found.name == "public_access_prevention"
	found.value != "enforced"
}

is_public(found) if {
	found.name == "container_access_type"
	found.value != "private"
}

is_public(found) if {
	is_string(found.value)
	regex.match(`\ball(Authenticated)?Users\b|AuthenticatedUsers|publicRead`, found.value)
}

# Statements of a policy and the like, whole: what is allowed stands beside to what.
grants(file, when) := {one |
	some one in objects(file, when)
	some name, value in one.value
	lower(name) in {"action", "actions", "identifiers", "members", "member", "not_actions", "notaction", "permissions", "principal", "verbs", "role_permissions"}
	some said in said_in(value)
	regex.match(`^(\*|[A-Za-z0-9-]+:\*|Microsoft\.[A-Za-z]+/\*)$`, said)
} | {one |
	some one in leaves(file, when)
	is_string(one.value)
	regex.match(`\b(AdministratorAccess|PowerUserAccess|IAMFullAccess|User Access Administrator|cluster-admin)\b|\broles/(owner|editor|iam\.[A-Za-z.]*[aA]dmin|resourcemanager\.[A-Za-z.]*Admin)\b|^(Owner|Contributor)$`, one.value)
} | {one |
	some one in leaves(file, when)
	one.computed
	regex.match(`(?i)\b(not_?)?(actions?|principals?|identifiers|aws)\b\\?"?\s*[:=]\s*\[?[^\]]*\\?"([a-z0-9-]+:)?\*\\?"`, one.value)
} | {one |
	some one in leaves(file, when)
	not one.computed
	is_string(one.value)
	regex.match(`(?i)"(not)?(action|principal|aws)"\s*:\s*\[?[^\]]*"([a-z0-9-]+:)?\*"`, one.value)
}

said_in(value) := {value} if is_string(value)

said_in(value) := {one | some one in value; is_string(one)} if is_array(value)

said_in(value) := {one | some one in value; is_string(one)} if is_object(value)

is_secret(found) if {
	regex.match(`(?i)(^|_)(password|passwd|secret|secret_key|secret_string|api_?key|access_key|private_key|token|credentials?|connection_string)$`, secret_name(found))
	is_string(found.value)
	not found.computed
	not found.value in {"", "true", "false"}
}

is_secret(found) if {
	is_string(found.value)
	regex.match(`-----BEGIN [A-Z ]*PRIVATE KEY|\b(AKIA|ASIA)[A-Z0-9]{16}\b|\bgh[pousr]_[A-Za-z0-9]{30}|\bgithub_pat_|\bglpat-|\bxox[abprs]-|\bsk_live_`, found.value)
}

is_secret(found) if {
	found.computed
	regex.match(`\bnonsensitive\s*\(|\b(file|filebase64|templatefile|pathexpand)\s*\(\s*"(/|~|\.\./\.\./\.\./)`, found.value)
}

is_secret(found) if {
	found.name == "sensitive"
	not found.value in {true, "true"}
}

# The default of a variable is known by the variable's name.
secret_name(found) := name if {
	regex.match(`^variable\.[^.]+\.default$`, found.at)
	name := split(found.at, ".")[1]
}

secret_name(found) := found.name if not regex.match(`^variable\.[^.]+\.default$`, found.at)

# What was on and is not, as far as its block is still there; and what is on that lets something be lost.
unguarded(file) := {place | some place in guards(file, "before") - guarded(file); is_there(file, place)} | {found.at |
	some found in leaves(file, "after") - leaves(file, "before")
	found.name in {"force_delete", "force_destroy", "skip_final_snapshot"}
	not found.value in {false, null, "false"}
} | {found.at |
	some found in leaves(file, "after") - leaves(file, "before")
	found.name in guarding
	found.value in {false, "false", "Disabled", "DISABLED"}
} | {address |
	some address in addresses(file, "before") - there(file)
	regex.match(`^resource\.[a-z0-9]+_([a-z0-9_]*_)?(public_access_block|versioning|encryption_configuration|object_lock_configuration|cloudtrail|flow_log|firewall_policy|web_acl_association|management_lock|resource_policy_lock)\.`, address)
}

guarding := {
	"deletion_protection", "deletion_protection_enabled", "disable_api_stop", "disable_api_termination", "enable_deletion_protection",
	"enable_key_rotation", "enable_log_file_validation", "encrypted", "encryption_enabled", "point_in_time_recovery_enabled",
	"prevent_destroy", "purge_protection_enabled", "require_ssl", "ssl_enforcement_enabled", "storage_encrypted",
	"termination_protection", "encryption_at_rest_enabled", "transit_encryption_enabled", "at_rest_encryption_enabled",
}

guards(file, when) := {found.at |
	some found in leaves(file, when)
	found.name in guarding
	is_on(found)
}

# What is computed counts as on before, and as off after: by its place alone it stays what it is.
is_on(found) if found.value in {true, "true", "Enabled", "ENABLED"}

is_on(found) if found.computed

# It may stand in another file of its directory by now.
guarded(file) := {place |
	some other in beside(file)
	some place in guards(other, "after")
}

is_there(file, place) if {
	names := split(place, ".")
	concat(".", array.slice(names, 0, 3)) in there(file)
}

is_there(file, place) if {
	names := split(place, ".")
	not names[0] in {"resource", "data"}
	"after" in object.keys(file)
}

state(file) := {place |
	some change in file.changes
	names := words(change.at)
	names[0] in {"remote_state", "terraform"}
	some name in {"backend", "cloud", "encryption", "remote_state", "state_store"}
	place := stands(names, change, name)
} | {file.path |
	regex.match(`\.tfbackend(\.json)?$`, lower(file.path))
} | {concat(".", words(change.at)) |
	some change in file.changes
	change.at[0] in {"import", "moved", "removed"}
} | {found.at |
	count(file.changes) > 0
	some change in file.changes
	count(change.at) == 0
	some found in (objects(file, "after") - objects(file, "before")) | (objects(file, "before") - objects(file, "after"))
	regex.match(`^(terraform\.(backend|cloud|encryption|state_store)|remote_state|import|moved|removed)(\.|$)`, found.at)
}

stands(names, _, name) := concat(".", names) if name in names

stands(names, change, name) := concat(".", array.concat(names, [name])) if {
	not name in names
	walk([object.get(change, "before", null), object.get(change, "after", null)], [at, _])
	name in at
}

addresses(file, when) := {sprintf("resource.%s.%s", [type, name]) |
	some type, named in document(file, when).resource
	some name, _ in named
}

# All that there is in its directory, by the files that the commit changes: what is moved to another file is not lost.
there(file) := {address |
	some other in beside(file)
	some address in addresses(other, "after")
	not is_none(other, address)
}

beside(file) := [other |
	some other in files
	object.get(other, "commit", "") == object.get(file, "commit", "")
	directory(other.path) == directory(file.path)
]

directory(path) := regex.replace(path, `[^/]*$`, "")

# Of these there are to be none.
is_none(file, address) if {
	names := split(address, ".")
	some body in file.after.resource[names[1]][names[2]]
	some nothing in [0, "0", [], {}]
	some name in {"count", "for_each"}
	body[name] == nothing
}

is_none(file, address) if {
	names := split(address, ".")
	some body in file.after.resource[names[1]][names[2]]
	some name in {"count", "for_each"}
	regex.match(`^(toset\(\[\s*\]\)|tomap\(\{\s*\}\))$`, body[name]["$"])
}

# What holds something that does not come back.
lasting(file) := {address |
	some address in addresses(file, "before")
	regex.match(`^resource\.[a-z0-9_]*(bucket|cluster|database|db|disk|dynamodb|ebs|efs|elasticache|file_system|filestore|fsx|key|kms|kv|opensearch|postgres|mysql|mariadb|mongo|queue|rds|redis|redshift|registry|repository|secret|share|snapshot|spanner|sql|storage|stream|table|topic|vault|volume|zone)[a-z0-9_]*\.`, address)
}
