# What Kubernetes is told: what lies in directories called `k8s` or `kubernetes`, what names a kind and a version of the API
# wherever it lies, and charts and kustomizations. Rights over machines and over the cluster, secrets, and what the world reaches
# are for humans; kinds that no rule knows need their yes, and so does what elsewhere may be such and cannot be read.
package agentguard.push.kubernetes

deny contains {
	"id": "kubernetes/unread",
	"reason": sprintf("`%s` says what runs where, and cannot be read: %s", [file.path, file.unread]),
	"remedy": "write it so that all readers read the same, or have a human make this change",
} if {
	some file in files
	is_below(file)
	file.unread
}

ask contains {
	"id": "kubernetes/unclear",
	"reason": sprintf("`%s` may be told to a cluster, and cannot be read: %s", [file.path, file.unread]),
	"remedy": "write it so that all readers read the same, or have a human make this change",
} if {
	some file in files
	not is_below(file)
	file.unread
}

# A limit that was there may be gone.
ask contains {
	"id": "kubernetes/unseen",
	"reason": sprintf("`%s` is gone, and it is not known what it held: %s", [file.path, file.unseen]),
	"remedy": "push it with git, which shows what it held",
} if {
	some file in files
	file.unseen
	not "after" in object.keys(file)
	not file.unread
}

deny contains {
	"id": "kubernetes/privileged",
	"reason": sprintf("`%s` gives a container rights over its machine: `%s`", [file.path, found]),
	"remedy": "do without, or have a human make this change",
} if {
	some file in files
	some found in rights(documents(file, "after")) - rights(documents(file, "before"))
}

deny contains {
	"id": "kubernetes/privileged",
	"reason": sprintf("`%s` takes away what keeps a container from its machine: `%s`", [file.path, found]),
	"remedy": "leave it, or have a human make this change",
} if {
	some file in files
	some found in limits(documents(file, "before")) - limits(documents(file, "after"))
	name := regex.replace(found, "^.* of `(.*)`$", "$1")
	name in names(documents(file, "after"))
}

deny contains {
	"id": "kubernetes/access",
	"reason": sprintf("`%s` changes who may do what in the cluster: `%s`", [file.path, found]),
	"remedy": "have a human make this change, and push the rest without it",
} if {
	some file in files
	some found in access(documents(file, "after")) - access(documents(file, "before"))
}

deny contains {
	"id": "kubernetes/secrets",
	"reason": sprintf("`%s` holds a secret, or has something read one: `%s`", [file.path, found]),
	"remedy": "have a human give it the secret",
} if {
	some file in files
	some found in secrets(documents(file, "after")) - secrets(documents(file, "before"))
}

deny contains {
	"id": "kubernetes/route",
	"reason": sprintf("`%s` changes what the world reaches: `%s`", [file.path, found]),
	"remedy": "have a human add, open or redirect it",
} if {
	some file in files
	some found in routes(documents(file, "after")) - routes(documents(file, "before"))
}

deny contains {
	"id": "kubernetes/unpinned",
	"reason": sprintf("`%s` starts `%s`, which somebody else can change", [file.path, image]),
	"remedy": "name an image by its digest (`@sha256:…`)",
} if {
	some file in files
	some image in images(documents(file, "after")) - images(documents(file, "before"))
	not is_pinned(image)
}

ask contains {
	"id": "kubernetes/kind",
	"reason": sprintf("`%s` changes a `%s`, of which no rule knows what it does", [file.path, kind]),
} if {
	some file in files
	was := {one | some one in documents(file, "before")}
	is := {one | some one in documents(file, "after")}
	some one in (was - is) | (is - was)
	kind := kind_of(one)
	not kind in {
		"ConfigMap", "CronJob", "DaemonSet", "Deployment", "HorizontalPodAutoscaler", "Job", "PersistentVolumeClaim", "Pod",
		"PodDisruptionBudget", "ReplicaSet", "Service", "StatefulSet",
	}
}

files := [file | some file in input.action.infrastructure; file.kind == "kubernetes"]

is_below(file) if regex.match(`(^|/)(k8s|kubernetes)/`, lower(file.path))

documents(file, when) := [one | some one in object.get(file, when, []); one != null]

kind_of(one) := sprintf("%v", [object.get(one, "kind", "nothing")]) if is_object(one)

kind_of(one) := "nothing" if not is_object(one)

# What stands at a name, anywhere. Kinds stand within lists and templates too.
said(documents, names) := {sprintf("%s: %v", [at[count(at) - 1], value]) |
	walk(documents, [at, value])
	at[count(at) - 1] in names
	not value in {false, null}
}

kinds(documents, names) := {sprintf("%s: %v", [value.kind, value]) |
	walk(documents, [_, value])
	value.kind in names
}

names(documents) := {object.get(value, "name", object.get(value, "kind", "")) |
	walk(documents, [_, value])
	is_object(value)
}

rights(documents) := said(documents, {
	"allowPrivilegeEscalation", "hostIPC", "hostNetwork", "hostPID", "hostPath", "hostPort", "hostProcess", "hostUsers", "privileged",
	"procMount", "sysctls", "unsafeSysctls", "volumeDevices",
}) | {sprintf("add: %v", [value]) |
	walk(documents, [at, value])
	array.slice(at, count(at) - 2, count(at)) == ["capabilities", "add"]
} | {sprintf("%s: %v", [at[count(at) - 1], value]) |
	walk(documents, [at, value])
	[at[count(at) - 1], value] in {["type", "Unconfined"], ["runAsNonRoot", false]}
} | {sprintf("%s: %v", [at[count(at) - 1], value]) |
	walk(documents, [at, value])
	at[count(at) - 1] == "runAsNonRoot"
	not value in {null, true}
} | {sprintf("%s: %v", [at[count(at) - 1], value]) |
	walk(documents, [at, value])
	at[count(at) - 1] in {"fsGroup", "runAsGroup", "runAsUser"}
	value != null
	not is_somebody(value)
} | {sprintf("%s: %v", [at[count(at) - 1], value]) |
	walk(documents, [at, value])
	regex.match(`apparmor\.security|seccomp\.security`, sprintf("%v", [at[count(at) - 1]]))
	contains(lower(sprintf("%v", [value])), "unconfined")
}

# `00`, `0x0` and `+0` are root as well, for some readers.
is_somebody(value) if {
	is_number(value)
	value > 0
}

# What keeps a container from its machine, by the container or what it is a part of.
limits(documents) := {sprintf("%v of `%v`", [key, object.get(value, "name", object.get(value, "kind", ""))]) |
	walk(documents, [_, value])
	some key, how in value.securityContext
	is_limit(key, how)
} | {sprintf("drop of `%v`", [object.get(value, "name", "")]) |
	walk(documents, [_, value])
	value.securityContext.capabilities.drop
}

is_limit(key, said) if [key, said] in {["runAsNonRoot", true], ["readOnlyRootFilesystem", true], ["allowPrivilegeEscalation", false]}

is_limit(key, _) if key in {"runAsUser", "seccompProfile"}

access(documents) := said(documents, {"automountServiceAccountToken", "serviceAccount", "serviceAccountName", "serviceAccountToken"}) | kinds(documents, {
	"APIService", "CertificateSigningRequest", "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition",
	"MutatingWebhookConfiguration", "Role", "RoleBinding", "ServiceAccount", "TokenRequest", "ValidatingWebhookConfiguration",
})

secrets(documents) := said(documents, {"imagePullSecrets", "secret", "secretKeyRef", "secretName", "secretRef"}) | kinds(documents, {
	"ExternalSecret", "Secret", "SealedSecret",
})

routes(documents) := said(documents, {"externalIPs", "externalName", "nodePort"}) | kinds(documents, {
	"Gateway", "GRPCRoute", "HTTPRoute", "Ingress", "IngressRoute", "Route", "TCPRoute", "TLSRoute", "UDPRoute", "VirtualService",
}) | {sprintf("type: %v", [value.spec]) |
	walk(documents, [_, value])
	value.kind == "Service"
	not object.get(value.spec, "type", "ClusterIP") == "ClusterIP"
}

images(documents) := {value |
	walk(documents, [at, value])
	at[count(at) - 1] == "image"
	not is_object(value)
} | {value |
	# What a volume is made of.
	walk(documents, [at, value])
	array.slice(at, count(at) - 2, count(at)) == ["image", "reference"]
}

is_pinned(image) if {
	is_string(image)
	regex.match(`^[a-z0-9][A-Za-z0-9_.:/-]*@sha256:[0-9a-f]{64}$`, image)
}
