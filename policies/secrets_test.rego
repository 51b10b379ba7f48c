package agentguard.sandbox_secrets_test

import data.agentguard.sandbox

test_private_keys_are_masked if {
	every path in {"/etc/ssl/private", "/etc/letsencrypt", "/etc/krb5.keytab", "/etc/wireguard"} {
		path in sandbox.masks with input as {}
	}
}

test_what_programs_need_is_not if {
	every path in {"/etc", "/etc/passwd", "/etc/ssl", "/etc/ssl/certs", "/etc/hosts", "/etc/machine-id"} {
		not path in sandbox.masks with input as {}
	}
}

test_it_is_told if {
	"secrets/masked" in {rule.id | some rule in sandbox.covered} with input as {"request": {}}
}
