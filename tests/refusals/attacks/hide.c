#include "attack.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define IS(value, else_skip) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, else_skip)
#define HAS(bit, else_skip) BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, bit, 0, else_skip)
#define ANSWER(errno_value) BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (errno_value))

/* Starts a command on a kernel that seems to refuse user namespaces, as hosts with AppArmor do and containers.
 * What is newer than `clone` seems not to be there: its flags lie in memory. */
static int without_namespaces(void)
{
	struct sock_filter program[] = {
		LOAD(nr),
		IS(SYS_unshare, 3),
		LOAD(args[0]),
		HAS(CLONE_NEWUSER, 7),
		ANSWER(EPERM),
		IS(SYS_clone, 3),
		LOAD(args[0]),
		HAS(CLONE_NEWUSER, 3),
		ANSWER(EPERM),
		IS(SYS_clone3, 1),
		ANSWER(ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog all = { sizeof(program) / sizeof(*program), program };
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return -1;
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &all);
}

/* Starts a command on a kernel that seems to have no rules for packets. */
static int without_rules(void)
{
	struct sock_filter program[] = {
		LOAD(nr),
		IS(SYS_socket, 5),
		LOAD(args[0]),
		IS(16, 3), /* AF_NETLINK */
		LOAD(args[2]),
		IS(12, 1), /* NETLINK_NETFILTER */
		ANSWER(EPROTONOSUPPORT),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog all = { sizeof(program) / sizeof(*program), program };
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return -1;
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &all);
}

int hide(int argc, char **argv)
{
	int (*step)(void) = argc < 2			       ? NULL
			    : strcmp(argv[0], "namespaces") == 0 ? without_namespaces
			    : strcmp(argv[0], "rules") == 0	       ? without_rules
								       : NULL;
	if (!step || step() != 0) {
		perror("hide");
		return 2;
	}
	execvp(argv[1], argv + 1);
	perror(argv[1]);
	return 127;
}
