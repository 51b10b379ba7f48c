package agentguard.api.upsun_test

import data.agentguard.api.upsun

ask(method, path) := at("api.upsun.com", method, path)

at(host, method, path) := {"action": {
	"kind": "api", "scheme": "https", "host": host, "port": 443, "method": method, "path": split(path, "/"), "query": {},
	"headers": {}, "body": {}, "address": "192.0.2.1", "class": "public", "caller": "/usr/bin/upsun",
}}

asked contains rule.id if some rule in upsun.ask

denied contains rule.id if some rule in upsun.deny

test_projects_are_read if {
	every path in [
		"projects/p", "projects/p/environments", "projects/p/environments/main/activities", "projects/p/activities/a",
		"projects/p/activities/a/log", "projects/p/environments/main/backups", "organizations/o", "projects/p/domains",
	] {
		count(denied) == 0 with input as ask("GET", path)
		count(asked) == 0 with input as ask("GET", path)
	}
}

test_a_human_says_yes_to_what_changes_an_environment if {
	every name in ["activate", "branch", "initialize", "merge", "redeploy", "resume", "synchronize", "backups"] {
		path := sprintf("projects/p/environments/e/%s", [name])
		asked == {"upsun/deployment"} with input as ask("POST", path)
		{rule.id | some rule in upsun.allow} == {"upsun/asked"} with input as ask("POST", path)
		count(denied) == 0 with input as ask("POST", path)
	}
}

test_what_is_for_humans_is_denied if {
	every row in [
		["POST", "projects/p/environments/e/deactivate", "upsun/loss"],
		["POST", "projects/p/environments/e/pause", "upsun/loss"],
		["POST", "projects/p/environments/e/backups/b/restore", "upsun/loss"],
		["POST", "projects/p/environments/e/BACKUPS/b/RESTORE", "upsun/loss"],
		["DELETE", "projects/p/environments/e", "upsun/deletion"],
		["DELETE", "projects/p/environments/e/backups/b", "upsun/deletion"],
		["POST", "projects/p/variables", "upsun/variables"],
		["PATCH", "projects/p/environments/e/variables/v", "upsun/variables"],
		["GET", "projects/p/environments/e/variables", "upsun/variables"],
		["POST", "projects/p/domains", "upsun/access"],
		["POST", "projects/p/environments/e/domains", "upsun/access"],
		["POST", "projects/p/certificates", "upsun/access"],
		["POST", "projects/p/integrations", "upsun/access"],
		["POST", "projects/p/invitations", "upsun/access"],
		["POST", "projects/p/user-access", "upsun/access"],
		["PATCH", "projects/p/team-access/t", "upsun/access"],
		["POST", "ssh_keys", "upsun/access"],
		["POST", "users/u/api-tokens", "upsun/access"],
		["POST", "users/u/api-tokens", "upsun/variables"],
		["POST", "organizations/o/members", "upsun/access"],
		["POST", "oauth2/token", "upsun/access"],
		["PATCH", "projects/p", "upsun/settings"],
		["PATCH", "projects/p/environments/e", "upsun/settings"],
		["PATCH", "projects/p/environments/e/settings", "upsun/settings"],
		["PATCH", "projects/p/settings", "upsun/settings"],
		["POST", "organizations/o/subscriptions", "upsun/settings"],
	] {
		[method, path, id] := row
		every host in ["api.upsun.com", "api.platform.sh", "auth.api.platform.sh", "auth.upsun.com", "eu-2.platform.sh"] {
			id in denied with input as at(host, method, path)
		}
		count(denied) == 0 with input as at("api.upsun.com.example.org", method, path)
	}
}

test_what_is_read_needs_no_yes_and_what_is_beside_settings_is_none if {
	{rule.id | some rule in upsun.allow} == set() with input as ask("GET", "projects/p")
	every path in ["x/p", "x/p/settings", "x/p/environments/e", "projects/p/activities/a", "x/p/a/b/settings"] {
		count(denied) == 0 with input as ask("PATCH", path)
	}
}
