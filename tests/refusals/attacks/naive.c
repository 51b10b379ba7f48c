/* A supervisor as one would write it first: it reads the path, judges what that leads to, and lets the call go
 * on. It shows that the races of names.c are races. */
#include "attack.h"
#include <limits.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

static int listen_for_opens(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, O_CREAT, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof filter / sizeof *filter, filter };
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
}

/* Whether the path leads to a repository's settings, now. */
static int is_place(pid_t caller, unsigned long address)
{
	char path[4096] = { 0 }, real[PATH_MAX];
	struct iovec ours = { path, 64 }, theirs = { (void *)address, 64 };
	process_vm_readv(caller, &ours, 1, &theirs, 1, 0);
	path[63] = 0;
	char *last = strrchr(path, '/');
	if (last == NULL)
		return 0;
	*last = 0;
	return strcmp(last + 1, "config") == 0 && realpath(path, real) != NULL &&
	       strlen(real) > 5 && strcmp(real + strlen(real) - 5, "/.git") == 0;
}

static void serve(int listener)
{
	for (;;) {
		struct seccomp_notif asked = { 0 };
		struct seccomp_notif_resp answer = { 0 };
		if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &asked) < 0) {
			if (errno == EINTR)
				continue;
			return;
		}
		answer.id = asked.id;
		if (is_place(asked.pid, asked.data.args[1]))
			answer.error = -EACCES;
		else
			answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
		ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
	}
}

/* naive_names KIND TRIES: a race of names.c under that supervisor. */
int naive_names(int argc, char **argv)
{
	int talk[2], status;
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, talk) < 0)
		return 1;
	pid_t child = fork();
	if (child == 0) {
		int listener = listen_for_opens();
		if (listener < 0 || write(talk[1], &listener, sizeof listener) < 0 ||
		    read(talk[1], &status, 1) < 0)
			_exit(1);
		close(listener);
		int result = race_names(argc, argv);
		fflush(stdout);
		_exit(result);
	}
	int theirs;
	if (read(talk[0], &theirs, sizeof theirs) != sizeof theirs)
		return 1;
	int handle = syscall(SYS_pidfd_open, child, 0);
	int listener = syscall(SYS_pidfd_getfd, handle, theirs, 0);
	if (listener < 0 || write(talk[0], "x", 1) < 0)
		return 1;
	if (fork() == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		serve(listener);
		_exit(0);
	}
	close(listener);
	waitpid(child, &status, 0);
	return WEXITSTATUS(status);
}
