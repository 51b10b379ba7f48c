package agentguard.push.terraform_test

import data.agentguard.push.terraform

push(files) := {"action": {"infrastructure": files, "paths": [{"path": one.path, "change": "changed", "mode": "100644"} | some one in files]}}

# A change at the top, as of a file that is new, or with what was there.
file(before, after) := {
	"commit": "1", "path": "infra/main.tf", "kind": "terraform", "before": before, "after": after,
	"changes": [{"at": [name], "before": object.get(before, name, null), "after": object.get(after, name, null)} |
		some name in object.keys(before) | object.keys(after)
		object.get(before, name, null) != object.get(after, name, null)
	],
}

denied(before, after) := ids if {
	ids := {rule.id | some rule in terraform.deny} with input as push([file(before, after)])
}

asked(files) := ids if {
	ids := {rule.id | some rule in terraform.ask} with input as push(files)
}

# Of a new file that says this.
said(after) := denied({}, after)

resource(type, body) := {"resource": {type: {"x": [body]}}}

# Of a resource that is there already.
changed(type, before, after) := denied(resource(type, before), resource(type, after))

test_all_of_it_is_asked_about if {
	every path in {"main.tf", "a/B.TF", "a/x.tf.json", "prod.tfvars", "x.auto.tfvars.json", "a/terragrunt.hcl", ".terraform.lock.hcl", "x.tofu", "a.tftest.hcl"} {
		action := {"paths": [{"path": path, "change": "added", "mode": "100644"}]}
		{rule.id | some rule in terraform.ask} == {"terraform/changed"} with input as {"action": action}
	}
	every path in {"main.tf.md", "a.hcl", "tf", "x.tfx", "xroot.hcl"} {
		action := {"paths": [{"path": path, "change": "added", "mode": "100644"}]}
		{rule.id | some rule in terraform.ask} == set() with input as {"action": action}
	}
	every after in [
		{"variable": {"n": [{"default": 1}]}}, {"output": {"n": [{"value": 1}]}}, {"locals": [{"n": 1}]},
		resource("aws_instance", {"instance_type": "t3.micro"}), {"data": {"aws_ami": {"x": [{}]}}},
	] {
		said(after) == set()
		asked([file({}, after)]) == {"terraform/changed"}
	}
}

test_what_is_only_described_needs_no_yes if {
	one := file({"a": 1}, {"a": 1})
	asked([one]) == set()
	described := object.union(one, {"changes": [{"at": ["variable", "a", "0", "description"], "before": "x", "after": "y"}]})
	asked([described]) == set()
	every more in [
		{"unread": "so"}, {"unseen": "so"}, {"changes": [{"at": ["variable", "a", "0", "default"], "before": "x", "after": "y"}]},
		{"changes": [{"at": ["resource", "aws_security_group", "x", "0", "description"], "before": "x", "after": "y"}]},
		{"changes": [{"at": ["variable", "a", "0", "description"], "before": "x", "after": {"$": "file(\"a\")"}}]},
	] {
		asked([object.union(one, more)]) == {"terraform/changed"}
	}
	every name in {"before", "after"} {
		asked([object.remove(one, [name])]) == {"terraform/changed"}
	}
}

test_what_cannot_be_read_or_compared_is_refused if {
	every why, ids in {"unread": {"terraform/unread"}, "unseen": {"terraform/unseen"}} {
		one := object.union(file({}, {}), {why: "so"})
		{rule.id | some rule in terraform.deny} == ids with input as push([one])
	}
}

test_no_code_is_run if {
	every after in [
		resource("null_resource", {"provisioner": {"local-exec": [{"command": "x"}]}}),
		resource("null_resource", {"provisioner": [{"local-exec": {}}]}),
		resource("aws_instance", {"provisioner": {"remote-exec": [{"inline": ["x"]}]}}),
		{"data": {"external": {"x": [{"program": ["sh"]}]}}},
		{"check": {"x": [{"data": {"external": {"y": [{}]}}}]}},
		{"terraform": [{"before_hook": {"x": [{"execute": ["sh"]}]}}]},
		{"inputs": {"x": {"$": "run_cmd(\"sh\")"}}},
		{"provider": {"kubernetes": [{"exec": [{"command": "sh"}]}]}},
	] {
		said(after) == {"terraform/runs"}
	}
}

test_what_is_taken_up_is_pinned if {
	every module in [
		{"source": "a/b/aws"}, {"source": "a/b/aws", "version": "~> 1.0"}, {"source": "git::https://example.org/a.git?ref=v1"},
		{"source": "github.com/a/b"}, {"source": "https://example.org/a.zip"}, {"source": {"$": "var.x"}}, {"source": "example.org/a/b/aws", "version": "1.0.0"},
		{"source": "s3::https://example.org/a"}, {"source": "/etc"}, {"source": "./a?x"}, {"source": "hashicorp/aws", "version": "1.0.0"},
	] {
		said({"module": {"m": [module]}}) == {"terraform/unpinned"}
	}
	every module in [
		{"source": "./a"}, {"source": "../a/b"}, {"source": "a/b/aws//sub", "version": "1.2.3"},
		{"source": "git::https://example.org/a.git?ref=0123456789abcdef0123456789abcdef01234567"},
	] {
		said({"module": {"m": [module]}}) == set()
	}
	every provider in [
		{"source": "evil/aws", "version": "1.0.0"}, {"source": "hashicorp/aws"}, {"source": "hashicorp/aws", "version": ">= 1.0.0"},
		{"source": "example.org/hashicorp/aws", "version": "1.0.0"}, "1.0.0", {"$": "local.x"},
		# What pins a module pins no provider.
		{"source": "./a"}, {"source": "a/b/aws", "version": "1.0.0"},
		{"source": "github.com/a/b?ref=0123456789abcdef0123456789abcdef01234567"},
	] {
		said({"terraform": [{"required_providers": [{"aws": provider}]}]}) == {"terraform/unpinned"}
	}
	said({"terraform": [{"required_providers": [{"aws": {"source": "hashicorp/aws", "version": "5.1.0"}}]}]}) == set()
	# A file that is stored has a source as well.
	said(resource("aws_s3_object", {"source": "a/b?x"})) == set()
	said({"terraform": [{"required_version": {"$": "local.x"}}]}) == set()
}

open_at(port) := {"ingress": [{"cidr_blocks": ["0.0.0.0/0"], "from_port": port}]}

test_nobody_is_let_in if {
	every value in ["0.0.0.0/0", "::/0", "128.0.0.0/1", {"$": "concat(var.a, [\"0.0.0.0/0\"])"}, "2000::/3"] {
		said(resource("aws_security_group", {"ingress": [{"cidr_blocks": [value]}]})) == {"terraform/open"}
		said(resource("aws_vpc_security_group_ingress_rule", {"cidr_ipv4": value})) == {"terraform/open"}
		said({"variable": {"from": [{"default": value}]}}) == {"terraform/open"}
		said({"variable": {"egress": [{"default": value}]}}) == {"terraform/open"}
		said({"module": {"route": [{"source": "./a", "from": value}]}}) == {"terraform/open"}
		said({"from": value}) == {"terraform/open"}
		said(resource("aws_security_group", {"dynamic": {"egress": [{"content": [{"cidr_blocks": [value]}]}]}})) == set()
		said(resource("aws_security_group", {"dynamic": {"ingress": [{"content": [{"cidr_blocks": [value]}]}]}})) == {"terraform/open"}
		said(resource("aws_security_group", {"egress": [{"cidr_blocks": [value]}]})) == set()
		said(resource("aws_security_group_rule", {"type": "egress", "cidr_blocks": [value]})) == set()
	}
	said(resource("azurerm_network_security_rule", {"direction": "Inbound", "source_address_prefix": "*"})) == {"terraform/open"}
	said(resource("azurerm_network_security_rule", {"direction": "Inbound", "source_address_prefix": "10.0.0.0/24"})) == set()
	said(resource("azurerm_network_security_rule", {"direction": "Outbound", "source_address_prefix": "*"})) == set()
	said(resource("google_compute_firewall", {"source_ranges": ["10.0.0.0/8"]})) == set()
	said(resource("x_y", {"destination_cidr_block": "0.0.0.0/0"})) == set()
	# A file of another kind is for other rules.
	compose := object.union(file({}, {"from": "0.0.0.0/0"}), {"path": "compose.yml", "kind": "compose"})
	{rule.id | some rule in terraform.deny} == set() with input as push([compose])
	# What is open is not to be open for more.
	changed("aws_security_group", open_at(443), open_at(22)) == {"terraform/open"}
	changed("aws_security_group", open_at(443), object.union(open_at(443), {"name": "y"})) == set()
}

# Where only a part of it changes, as a push tells it.
at(place, before, after) := object.union(file(before, after), {"changes": [{"at": split(place, "/")}]})

test_what_changes_is_looked_into_wherever_it_stands if {
	every one in [
		at("resource/aws_security_group/x/0/ingress/0/from_port", resource("aws_security_group", open_at(443)), resource("aws_security_group", open_at(22))),
		at("locals/0/a", {"locals": [{"a": 1}]}, {"locals": [{"a": "0.0.0.0/0"}]}),
		at("data/1", {"data": ["a", "b"]}, {"data": ["a", "0.0.0.0/0"]}),
		at("resource/x/1", {"resource": {"x": ["a", "b"]}}, {"resource": {"x": ["a", "0.0.0.0/0"]}}),
		at("module/m/0/from", {"module": {"m": [{"source": "./a"}]}}, {"module": {"m": [{"source": "./a", "from": "0.0.0.0/0"}]}}),
		at("from/0", {"from": ["10.0.0.0/8"]}, {"from": ["0.0.0.0/0"]}),
	] {
		{rule.id | some rule in terraform.deny} == {"terraform/open"} with input as push([one])
	}
}

test_nothing_becomes_public if {
	every body in [
		{"acl": "public-read"}, {"acl": {"$": "var.acl"}}, {"block_public_acls": false}, {"publicly_accessible": true},
		{"publicly_accessible": {"$": "var.x"}}, {"member": "allUsers"}, {"public_access_prevention": "inherited"}, {"container_access_type": "blob"},
	] {
		said(resource("x_y", body)) == {"terraform/public"}
	}
	every body in [
		{"acl": "private"}, {"block_public_acls": true}, {"publicly_accessible": false}, {"public_access_prevention": "enforced"},
		{"container_access_type": "private"},
	] {
		said(resource("x_y", body)) == set()
	}
}

statement(effect) := {"statement": [{"effect": effect, "actions": ["*"]}]}

test_nobody_may_do_everything if {
	every body in [
		{"statement": [{"actions": ["s3:Get", "*"]}]}, {"policy": {"$": "jsonencode({ Action = \"*\" })"}}, {"policy": "{\"Action\":[\"iam:*\"]}"},
		{"policy_arn": "arn:aws:iam::aws:policy/AdministratorAccess"}, {"role": "roles/owner"}, {"role_definition_name": "Owner"},
		{"permissions": [{"actions": ["*"]}]}, {"policy": {"$": "<<E\n{\"Principal\": \"*\"}\nE"}},
	] {
		said(resource("x_y", body)) == {"terraform/access"}
	}
	changed("x_y", statement("Deny"), statement("Allow")) == {"terraform/access"}
	said(resource("x_y", {"statement": [{"actions": ["s3:GetObject"], "resources": ["*"]}]})) == set()
}

test_no_secret_stands_there if {
	every body in [
		{"password": "x"}, {"master_password": "x"}, {"access_key": "x"}, {"user_data": "-----BEGIN RSA PRIVATE KEY-----"},
		{"x": {"$": "file(\"~/.ssh/id_ed25519\")"}}, {"x": {"$": "nonsensitive(var.a)"}}, {"sensitive": false},
	] {
		said(resource("x_y", body)) == {"terraform/secrets"}
	}
	said({"variable": {"db_password": [{"default": "x"}]}}) == {"terraform/secrets"}
	said({"db_password": "x"}) == {"terraform/secrets"}
	every body in [{"password": {"$": "var.password"}}, {"sensitive": true}, {"password": ""}, {"password": null}] {
		said(resource("x_y", body)) == set()
	}
}

test_what_guards_stays if {
	every body in [{"deletion_protection": true}, {"lifecycle": [{"prevent_destroy": true}]}, {"storage_encrypted": {"$": "var.on"}}] {
		changed("x_y", body, {}) == {"terraform/protection"}
		changed("x_y", body, body) == set()
		changed("x_y", body, object.union(body, {"n": 1})) == set()
	}
	changed("x_y", {"deletion_protection": true}, {"deletion_protection": {"$": "var.on"}}) == set()
	changed("x_y", {}, {"force_destroy": true}) == {"terraform/protection"}
	changed("x_y", {}, {"force_destroy": false}) == set()
	changed("x_y", {}, {"encrypted": false}) == {"terraform/protection"}
	changed("x_y", {"monitoring": true}, {}) == set()
	denied(resource("aws_s3_bucket_public_access_block", {}), {}) == {"terraform/loss", "terraform/protection"}
	denied(resource("azurerm_management_lock", {}), {}) == {"terraform/protection"}
	# Also where it is moved on the way.
	before := file(resource("x_y", {"prevent_destroy": true}), {})
	after := object.union(file({}, resource("x_y", {})), {"path": "infra/b.tf"})
	{rule.id | some rule in terraform.deny} == {"terraform/protection"} with input as push([before, after])
}

test_the_state_stays_where_it_is if {
	every after in [
		{"terraform": [{"backend": {"s3": [{"bucket": "x"}]}}]}, {"terraform": [{"cloud": [{}]}]}, {"remote_state": [{"backend": "s3"}]},
		{"removed": [{"from": {"$": "x.y"}}]}, {"moved": [{}]}, {"import": [{}]},
	] {
		said(after) == {"terraform/state"}
		as_a_whole := object.union(file({}, after), {"changes": [{"at": [], "after": after}]})
		{rule.id | some rule in terraform.deny} == {"terraform/state"} with input as push([as_a_whole])
	}
	kept := object.union(file({}, {"bucket": "x"}), {"path": "prod.tfbackend"})
	{rule.id | some rule in terraform.deny} == {"terraform/state"} with input as push([kept])
}

test_what_lasts_is_not_lost if {
	every type in {"aws_db_instance", "aws_s3_bucket", "google_sql_database_instance", "azurerm_storage_account", "aws_dynamodb_table"} {
		denied(resource(type, {}), {}) == {"terraform/loss"}
		changed(type, {}, {"count": 0}) == {"terraform/loss"}
		changed(type, {}, {"for_each": {"$": "toset([])"}}) == {"terraform/loss"}
		changed(type, {}, {"n": 1}) == set()
		gone := object.remove(file(resource(type, {}), {}), ["after"])
		{rule.id | some rule in terraform.deny} == {"terraform/loss"} with input as push([gone])
	}
	denied(resource("aws_instance", {}), {}) == set()
	# Moved to another file of its directory, it is not lost. To one of another it is.
	before := file(resource("aws_db_instance", {}), {})
	after := object.union(file({}, resource("aws_db_instance", {})), {"path": "infra/db.tf"})
	{rule.id | some rule in terraform.deny} == set() with input as push([before, after])
	elsewhere := object.union(after, {"path": "db.tf"})
	{rule.id | some rule in terraform.deny} == {"terraform/loss"} with input as push([before, elsewhere])
}
