package agentguard.push.kubernetes_test

import data.agentguard.push.kubernetes

image := "web@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

pod(more) := object.union({"containers": [{"name": "web", "image": image}]}, more)

deployment(more) := {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"template": {"spec": pod(more)}}}

file(after) := {"path": "deploy/web.yaml", "kind": "kubernetes", "before": [deployment({})], "after": after, "changes": []}

denied(after) := ids if {
	ids := {rule.id | some rule in kubernetes.deny} with input as {"action": {"infrastructure": [file(after)]}}
}

asked(after) := ids if {
	ids := {rule.id | some rule in kubernetes.ask} with input as {"action": {"infrastructure": [file(after)]}}
}

# Of a container of it.
container(more) := denied([deployment({"containers": [object.union({"name": "web", "image": image}, more)]})])

test_ordinary_work_is_let if {
	every after in [
		[deployment({})], [deployment({"replicas": 3})], [], [null, deployment({})],
		[deployment({}), {"kind": "ConfigMap", "data": {"a": "b"}}], [deployment({}), {"kind": "Service", "spec": {"ports": [{"port": 80}]}}],
	] {
		denied(after) == set()
		asked(after) == set()
	}
	container({"securityContext": {"privileged": false, "allowPrivilegeEscalation": false, "runAsNonRoot": true}}) == set()
}

test_no_container_gets_rights_over_its_machine if {
	every context in [
		{"privileged": true}, {"privileged": "yes"}, {"allowPrivilegeEscalation": true}, {"capabilities": {"add": ["SYS_ADMIN"]}},
		{"runAsUser": 0}, {"runAsNonRoot": false}, {"seccompProfile": {"type": "Unconfined"}}, {"procMount": "Unmasked"},
	] {
		container({"securityContext": context}) == {"kubernetes/privileged"}
	}
	every more in [{"hostNetwork": true}, {"hostPID": true}, {"hostIPC": true}, {"volumes": [{"name": "x", "hostPath": {"path": "/"}}]}] {
		denied([deployment(more)]) == {"kubernetes/privileged"}
		denied([{"kind": "List", "items": [deployment(more)]}]) == {"kubernetes/privileged"}
	}
}

test_root_is_known_however_it_is_written if {
	every context in [
		{"runAsUser": "00"}, {"runAsUser": "0x0"}, {"runAsGroup": "+0"}, {"fsGroup": -0}, {"runAsUser": -1}, {"runAsNonRoot": "no"}, {"runAsNonRoot": "False"},
	] {
		container({"securityContext": context}) == {"kubernetes/privileged"}
	}
	container({"securityContext": {"runAsUser": 1000, "runAsNonRoot": true, "fsGroup": null}}) == set()
}

test_what_keeps_a_container_from_its_machine_stays if {
	every context in [
		{"runAsNonRoot": true}, {"readOnlyRootFilesystem": true}, {"allowPrivilegeEscalation": false}, {"capabilities": {"drop": ["ALL"]}},
		{"seccompProfile": {"type": "RuntimeDefault"}},
	] {
		kept := deployment({"containers": [{"name": "web", "image": image, "securityContext": context}]})
		every rest, ids in {"[]": set(), "null": {"kubernetes/privileged"}} {
			after := [deployment({}) | rest == "null"]
			one := object.union(file(after), {"before": [kept]})
			{rule.id | some rule in kubernetes.deny} == ids with input as {"action": {"infrastructure": [one]}}
		}
	}
}

test_rights_in_the_cluster_are_for_humans if {
	every kind in {"Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding", "ServiceAccount", "MutatingWebhookConfiguration"} {
		denied([deployment({}), {"kind": kind}]) == {"kubernetes/access"}
		denied([{"kind": "List", "items": [{"kind": kind}]}]) == {"kubernetes/access"}
	}
	denied([deployment({"serviceAccountName": "admin"})]) == {"kubernetes/access"}
}

test_no_secret_is_read if {
	denied([deployment({}), {"kind": "Secret"}]) == {"kubernetes/secrets"}
	container({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}]}) == {"kubernetes/secrets"}
	container({"envFrom": [{"secretRef": {"name": "a"}}]}) == {"kubernetes/secrets"}
	denied([deployment({"volumes": [{"name": "x", "projected": {"sources": [{"secret": {"name": "a"}}]}}]})]) == {"kubernetes/secrets"}
}

test_nothing_more_is_reached if {
	denied([deployment({}), {"kind": "Ingress"}]) == {"kubernetes/route"}
	every spec in [{"type": "LoadBalancer"}, {"type": "NodePort"}, {"externalIPs": ["192.0.2.1"]}, {"type": "ExternalName"}] {
		denied([deployment({}), {"kind": "Service", "spec": spec}]) == {"kubernetes/route"}
	}
}

test_images_are_pinned if {
	every one in ["web", "web:1", "web@sha256:1", 1] {
		container({"image": one}) == {"kubernetes/unpinned"}
	}
}

test_what_is_not_known_is_asked_about if {
	every one in [{"kind": "Application"}, {"kind": "NetworkPolicy"}, {"resources": ["https://example.org/x"]}, "x", {"kind": 1}] {
		asked([deployment({}), one]) == {"kubernetes/kind"}
	}
}

test_what_cannot_be_read_is_refused_or_asked_about if {
	unread := {"path": "a/k8s/a.yaml", "kind": "kubernetes", "changes": [], "unread": "`a` stands twice"}
	{rule.id | some rule in kubernetes.deny} == {"kubernetes/unread"} with input as {"action": {"infrastructure": [unread]}}
	elsewhere := object.union(unread, {"path": "chart/templates/a.yaml"})
	{rule.id | some rule in kubernetes.deny} == set() with input as {"action": {"infrastructure": [elsewhere]}}
	{rule.id | some rule in kubernetes.ask} == {"kubernetes/unclear"} with input as {"action": {"infrastructure": [elsewhere]}}
	other := object.union(unread, {"kind": "compose"})
	{rule.id | some rule in kubernetes.deny | kubernetes.ask} == set() with input as {"action": {"infrastructure": [other]}}
}

test_what_an_interface_takes_away_is_asked_about if {
	gone := {"path": "k8s/a.yaml", "kind": "kubernetes", "changes": [], "unseen": "so"}
	{rule.id | some rule in kubernetes.ask} == {"kubernetes/unseen"} with input as {"action": {"infrastructure": [gone]}}
}

test_what_is_below_is_refused_and_not_asked_about if {
	unread := {"path": "a/k8s/a.yaml", "kind": "kubernetes", "changes": [], "unread": "`a` stands twice"}
	every file in [unread, object.union(unread, {"unseen": "so"})] {
		{rule.id | some rule in kubernetes.ask} == set() with input as {"action": {"infrastructure": [file]}}
	}
	there := {"path": "k8s/a.yaml", "kind": "kubernetes", "changes": [], "unseen": "so", "after": [deployment({})]}
	{rule.id | some rule in kubernetes.ask} == set() with input as {"action": {"infrastructure": [there]}}
}

test_images_that_volumes_are_made_of_are_pinned if {
	every reference, ids in {"models:1": {"kubernetes/unpinned"}, image: set()} {
		volume := {"name": "models", "image": {"reference": reference, "pullPolicy": "Always"}}
		denied([deployment({"volumes": [volume]})]) == ids
	}
}

test_an_image_may_change_to_another_that_is_pinned if {
	container({"image": replace(image, "web@", "app@")}) == set()
	# What is put together of parts names its image elsewhere.
	container({"image": {"repository": "web"}}) == set()
}

test_what_is_said_of_a_profile_is_what_counts if {
	every key in {"container.apparmor.security.beta.kubernetes.io/web", "seccomp.security.alpha.kubernetes.io/pod"} {
		said := object.union(deployment({}), {"metadata": {"annotations": {key: "Unconfined"}}})
		denied([said]) == {"kubernetes/privileged"}
		denied([object.union(said, {"metadata": {"annotations": {key: "runtime/default"}}})]) == set()
	}
	container({"env": [{"name": "A", "value": "unconfined"}]}) == set()
}

test_what_is_no_limit_may_go if {
	kept := deployment({"containers": [{"name": "web", "image": image, "securityContext": {"runAsGroup": 1000, "runAsNonRoot": null}}]})
	one := object.union(file([deployment({})]), {"before": [kept]})
	{rule.id | some rule in kubernetes.deny} == set() with input as {"action": {"infrastructure": [one]}}
	limited := deployment({"containers": [{"name": "web", "image": image, "securityContext": {"runAsUser": 1000}}]})
	other := object.union(file([deployment({})]), {"before": [limited]})
	{rule.id | some rule in kubernetes.deny} == {"kubernetes/privileged"} with input as {"action": {"infrastructure": [other]}}
}

test_only_services_have_such_a_type if {
	denied([deployment({}), {"kind": "PersistentVolumeClaim", "spec": {"type": "x"}}]) == set()
	denied([deployment({}), {"kind": "Service", "spec": {"type": "ClusterIP"}}]) == set()
}
