# Secrets inside what is granted: they cannot be opened. What is not granted does not exist.
package agentguard.sandbox

masks contains path if {
	some path in [
		"/etc/NetworkManager/system-connections", "/etc/agentguard", "/etc/bind/rndc.key",
		"/etc/docker/key.json", "/etc/exim4/passwd.client", "/etc/ipsec.secrets", "/etc/krb5.keytab",
		"/etc/kubernetes", "/etc/letsencrypt", "/etc/libvirt/secrets", "/etc/msmtprc",
		"/etc/mysql/debian.cnf", "/etc/openvpn", "/etc/pki/tls/private", "/etc/postfix/sasl_passwd",
		"/etc/ppp/chap-secrets", "/etc/ppp/pap-secrets", "/etc/rancher", "/etc/samba/private",
		"/etc/ssl/private", "/etc/wireguard", "/etc/wpa_supplicant",
	]
}

covered contains {
	"id": "secrets/masked",
	"reason": "credential files cannot be opened from inside",
	"remedy": "ask for a credential to be lent instead",
}
