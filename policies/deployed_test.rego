package agentguard.push.deployed_test

import data.agentguard.push.deployed

push(path, file) := {"action": {
	"paths": [{"path": path, "change": "changed", "mode": "100644"}],
	"infrastructure": [object.union({"path": path, "changes": []}, file)],
}}

denied(path, file) := ids if {
	ids := {rule.id | some rule in deployed.deny} with input as push(path, file)
}

asked(path, file) := ids if {
	ids := {rule.id | some rule in deployed.ask} with input as push(path, file)
}

at(place, before, after) := {"changes": [{"at": split(place, "/"), "before": before, "after": after}]}

added(place, after) := {"changes": [{"at": split(place, "/"), "after": after}]}

removed(place, before) := {"changes": [{"at": split(place, "/"), "before": before}]}

# That only humans, or only with their yes, by this rule and no other.
refused(id, path, file) if {
	denied(path, file) == {id}
	asked(path, file) == set()
}

asked_about(id, path, file) if {
	denied(path, file) == set()
	asked(path, file) == {id}
}

upsun := ".upsun/config.yaml"

application := "app/.platform.app.yaml"

test_a_version_is_raised_within_its_major_line if {
	every row in [
		[upsun, at("services/db/type", "postgresql:16.1", "postgresql:16.4")],
		[".platform/services.yaml", at("db/type", "mariadb:10.6", "mariadb:10.11")],
	] {
		denied(row[0], row[1]) == set()
		asked(row[0], row[1]) == set()
	}
}

test_another_version_is_asked_about if {
	every row in [
		[upsun, at("services/db/type", "postgresql:16.1", "postgresql:17.1")],
		[upsun, at("services/db/type", "postgresql:16", "postgresql:17")],
		[upsun, at("applications/app/type", "php:8.2", "php:8.3")],
		[application, at("type", "nodejs:20", "nodejs:22")],
		[".platform/services.yaml", at("db/type", "mariadb:10.6", "mariadb:11.0")],
	] {
		asked_about("deployed/version", row[0], row[1])
	}
}

test_what_a_service_holds_is_not_lost if {
	every after in [
		"postgresql:16.0", "postgresql:16.1", "mysql:16.4", "postgresql:16", "postgresql:16.4 ", "postgresql", "postgresql:016.4",
		"POSTGRESQL:16.4", 16, null, ["postgresql:16.4"],
	] {
		refused("deployed/loss", upsun, at("services/db/type", "postgresql:16.1", after))
	}
	refused("deployed/loss", upsun, removed("services/db/type", "postgresql:16.1"))
	refused("deployed/loss", upsun, removed("services/db", {"type": "postgresql:16.1"}))
	refused("deployed/loss", upsun, removed("services", {"db": {"type": "postgresql:16.1"}}))
	refused("deployed/loss", ".platform/services.yaml", removed("db", {"type": "postgresql:16.1"}))
	refused("deployed/loss", application, at("mounts/var/source", "local", "tmp"))
}

test_no_route_is_opened_or_sent_elsewhere if {
	every row in [
		[upsun, added("routes/https:~~{default}~", {"type": "upstream", "upstream": "app:http"})],
		[upsun, at("routes/x/type", "redirect", "upstream")],
		[upsun, at("routes/x/to", "https://a", "https://b")],
		[upsun, added("routes/x/redirects/paths", {"/": {"to": "https://b"}})],
		[upsun, added("routes/x/http_access", {"is_enabled": false})],
		[upsun, at("routes/x/tls/min_version", "TLSv1.3", "TLSv1.0")],
		[upsun, added("routes", {})],
		[".platform/routes.yaml", added("x", {"type": "upstream"})],
	] {
		refused("deployed/route", row[0], row[1])
	}
}

test_nobody_is_let_in_and_nothing_more_is_reached if {
	every row in [
		[upsun, added("applications/app/relationships/db", "db:postgresql")],
		[upsun, at("applications/app/access/ssh", "admin", "viewer")],
		[upsun, removed("applications/app/firewall", {"outbound": []})],
		[upsun, added("services/db/relationships", {"x": "y"})],
		[upsun, at("services/db/configuration/endpoints/x/privileges/main", "ro", "admin")],
		[upsun, added("applications/app/source/operations/x", {"command": "git push"})],
		[upsun, added("applications/app/workers/x/access", {"ssh": "viewer"})],
		[upsun, added("applications/app/workers/x", {"commands": {"start": "x"}, "relationships": {"db": "db:postgresql"}})],
		[application, added("relationships", {"db": "db:postgresql"})],
		[application, added("additional_hosts", {"a": "192.0.2.1"})],
	] {
		refused("deployed/access", row[0], row[1])
	}
	refused("deployed/variables", application, added("variables/env/LD_PRELOAD", "x.so"))
}

test_what_costs_or_runs_is_asked_about if {
	every place in ["services/db/size", "services/db/disk", "applications/app/resources/base_memory", "applications/app/size"] {
		asked_about("deployed/cost", upsun, at(place, 1, 2))
	}
	every place in [
		"applications/app/hooks/deploy", "applications/app/crons/x/commands/start", "applications/app/build/flavor",
		"applications/app/web/commands/start", "applications/app/dependencies/nodejs/x", "applications/app/workers/q/commands/start",
	] {
		asked_about("deployed/commands", upsun, at(place, "a", "b"))
	}
	asked_about("deployed/commands", application, at("hooks/build", "a", "b"))
}

test_nothing_else_that_is_deployed_is_changed if {
	every place in [
		"services/cache", "services", "applications/other", "applications", "applications/app/web/locations/~/passthru",
		"applications/app/name", "applications/app/stack", "other", "",
	] {
		refused("push/infrastructure", upsun, added(place, {"type": "redis:7.0"}))
	}
	refused("push/infrastructure", upsun, {"changes": [{"at": [], "after": {"services": {}}}]})
	refused("push/infrastructure", upsun, added("services/db/type", "postgresql:16.4"))
	refused("push/infrastructure", upsun, {"unread": "`a` stands twice"})
	every path in {".upsun/local/x", ".platform/routes.yaml", "app/.platform.app.yaml", "fly.toml", ".upsun", ".Upsun/config.yaml"} {
		action := {"paths": [{"path": path, "change": "changed", "mode": "120000"}], "infrastructure": []}
		{rule.id | some rule in deployed.deny} == {"push/infrastructure"} with input as {"action": action}
	}
}

test_one_change_that_is_let_carries_no_other if {
	good := at("services/db/type", "postgresql:16.1", "postgresql:16.4").changes
	bad := added("routes/x", {"type": "upstream"}).changes
	refused("deployed/route", upsun, {"changes": array.concat(good, bad)})
}

# By an interface: it is not known what it held.
test_what_is_written_by_an_interface_changes_as_a_whole if {
	every change in [{"at": []}, {"at": [], "after": {"services": {}}}] {
		denied(upsun, {"changes": [change], "unseen": "so"}) == {"push/infrastructure"}
	}
}

test_other_files_are_not_these if {
	every path in {"README.md", "docs/.upsun/config.yaml", "services.yaml", "compose.yaml"} {
		denied(path, at("routes/x", "a", "b")) == set()
		asked(path, at("routes/x", "a", "b")) == set()
	}
}

# What only looks like a version is none, wherever else it stands.
test_what_is_no_type_is_not_raised if {
	every row in [
		[upsun, at("services/db/image", "postgresql:16.1", "postgresql:16.4")],
		[upsun, at("services/db/image", "postgresql:16", "postgresql:17")],
		[upsun, at("services/db/type/of", "postgresql:16.1", "postgresql:16.4")],
		[upsun, at("applications/app/image", "php:8.2", "php:8.3")],
		[".platform/services.yaml", at("db/image", "mariadb:10.6", "mariadb:10.11")],
	] {
		refused("push/infrastructure", row[0], row[1])
	}
}

test_what_is_not_deployed_is_nothing_of_this if {
	denied("main.tf", {"unread": "it is no text"}) == set()
	ids := {rule.id | some rule in deployed.deny} with input as {"action": {
		"paths": [{"path": "src/main.rs", "change": "changed", "mode": "100644"}],
		"infrastructure": [],
	}}
	ids == set()
}

# A service of another kind, or whose version is told less or more exactly, may be any.
test_what_is_not_higher_is_not_asked_about if {
	every row in [
		at("services/db/type", "postgresql:16.1", "mysql:17.1"),
		at("services/db/type", "postgresql:16", "mysql:17"),
		at("services/db/type", "postgresql:16", "postgresql:16.4"),
		at("services/db/type", "postgresql:16.4", "postgresql:16"),
	] {
		refused("deployed/loss", upsun, row)
	}
}
