/* System calls that lists of this kind tend to forget. */
#include "attack.h"
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/statfs.h>

/* forgotten: each with arguments that could do no harm if it were let through. */
int forgotten(int argc, char **argv)
{
	(void)argc, (void)argv;
	char zeroes[512] = { 0 };
	int handle = (int)syscall(SYS_pidfd_open, getpid(), 0);
	tell("quotactl_fd", syscall(443, -1, 0, 0, 0));
	tell("fanotify_mark", syscall(SYS_fanotify_mark, -1, 0, 0, AT_FDCWD, "/"));
	tell("process_mrelease", syscall(448, handle, 0));
	tell("process_madvise", syscall(440, handle, zeroes, 0, 21, 0));
	tell("pidfd_getfd", syscall(438, handle, 0, 0));
	tell("kcmp", syscall(SYS_kcmp, getpid(), getpid(), 0, 0, 0));
	tell("migrate_pages", syscall(SYS_migrate_pages, 0, 8, zeroes, zeroes));
	tell("move_pages-of-another", syscall(SYS_move_pages, 1, 0, 0, 0, 0, 0));
	tell("get_robust_list-of-another", syscall(SYS_get_robust_list, 1, zeroes, zeroes + 8));
	tell("adjtimex", syscall(SYS_adjtimex, zeroes));
	tell("clock_adjtime", syscall(SYS_clock_adjtime, 0, zeroes));
	int stream = socket(AF_INET, SOCK_STREAM, 0);
	tell("smc-by-option", setsockopt(stream, IPPROTO_TCP, TCP_ULP, "smc", 4));
	tell("tls-by-option", setsockopt(stream, IPPROTO_TCP, TCP_ULP, "tls", 4));
	int here = open(".", O_RDONLY);
	tell("btrfs-subvolume", ioctl(here, 0x5000940e, zeroes));
	tell("btrfs-snapshot", ioctl(here, 0x50009401, zeroes));
	tell("btrfs-snapshot-2", ioctl(here, 0x50009417, zeroes));
	tell("btrfs-destroy", ioctl(here, 0x5000940f, zeroes));
	tell("btrfs-names", ioctl(here, 0xd000943e, zeroes));
	tell("bcachefs-subvolume", ioctl(here, 0x4020bc10, zeroes));
	tell("bcachefs-destroy", ioctl(here, 0x4020bc11, zeroes));
	tell("bcachefs-subvolume-2", ioctl(here, 0x4030bc1d, zeroes));
	tell("ocfs2-reflink", ioctl(here, 0x40186f04, zeroes));
	tell("fscrypt-policy", ioctl(here, 0x800c6613, zeroes));
	tell("fscrypt-add-key", ioctl(here, 0xc0506617, zeroes));
	tell("fscrypt-remove-key", ioctl(here, 0xc0406618, zeroes));
	tell("fscrypt-remove-everybodys", ioctl(here, 0xc0406619, zeroes));
	tell("fscrypt-wide", syscall(SYS_ioctl, here, 0x1c0406618UL, zeroes));
	/* Where no mount holds what is outside. */
	tell("beside-fat", ioctl(here, 0x40047211, zeroes));
	tell("beside-f2fs", ioctl(here, 0x4004f50d, zeroes));
	/* What does not exist. */
	tell("absent-memfd_secret", syscall(447, 0));
	tell("absent-statmount", syscall(457, zeroes, zeroes, 0, 0));
	tell("absent-listmount", syscall(458, zeroes, zeroes, 0, 0));
	tell("absent-lsm_set_self_attr", syscall(460, 100, zeroes, 0, 0));
	tell("absent-open_tree_attr", syscall(467, AT_FDCWD, "/", 0, zeroes, 32));
	tell("absent-file_setattr", syscall(469, AT_FDCWD, ".", zeroes, 24, 0));
	tell("absent-hole", syscall(400, 0));
	tell("absent-last", syscall(1023, 0));
#ifdef __x86_64__
	tell("absent-uselib", syscall(SYS_uselib, "/nowhere"));
	tell("absent-sysfs", syscall(SYS_sysfs, 3));
	tell("absent-sysctl", syscall(SYS__sysctl, zeroes));
#endif
	tell("neighbour-option", setsockopt(stream, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int)));
	tell("neighbour-flags", ioctl(here, 0x80086601, zeroes));
	tell("neighbour-own-list", syscall(SYS_get_robust_list, 0, zeroes, zeroes + 8));
	tell("neighbour-own-pages", syscall(SYS_move_pages, 0, 0, 0, 0, 0, 0));
	tell("neighbour-pair", socketpair(AF_UNIX, SOCK_STREAM, 0, (int *)zeroes));
	return 0;
}

/* narrower PATH: a filter and a domain of its own, which allow everything, and then what they would not. */
int narrower(int argc, char **argv)
{
	(void)argc;
	struct sock_filter allow[] = { { 0x06, 0, 0, 0x7fff0000 } };
	struct sock_fprog program = { 1, allow };
	struct landlock_ruleset_attr handled = { .handled_access_fs = LANDLOCK_ACCESS_FS_READ_FILE };
	int ruleset = (int)syscall(SYS_landlock_create_ruleset, &handled, sizeof handled, 0);
	struct landlock_path_beneath_attr all = { LANDLOCK_ACCESS_FS_READ_FILE, open("/", O_PATH) };
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	tell("neighbour-rule", syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &all, 0));
	tell("neighbour-domain", syscall(SYS_landlock_restrict_self, ruleset, 0));
	tell("neighbour-filter", syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program));
	tell("read", open(argv[0], O_RDONLY));
	tell("mount", syscall(SYS_mount, "none", "/tmp", "tmpfs", 0, ""));
	tell("ptrace", syscall(SYS_ptrace, 0, 0, 0, 0));
	tell("write-switch", open("/proc/sys/kernel/core_pattern", O_WRONLY));
	return 0;
}

/* first_process: how the session's pid 1 runs, so that it would see the session's end late. */
int first_process(int argc, char **argv)
{
	(void)argc, (void)argv;
	struct sched_param none = { 0 };
	unsigned long one[16] = { 1 };
	struct { uint32_t size, policy; uint64_t flags; int32_t nice; uint32_t rest[9]; } attributes = {
		.size = 48, .policy = 5,
	};
	tell("idle", syscall(SYS_sched_setscheduler, 1, 5, &none));
	tell("parameter", syscall(SYS_sched_setparam, 1, &none));
	tell("attributes", syscall(SYS_sched_setattr, 1, &attributes, 0));
	tell("processor", syscall(SYS_sched_setaffinity, 1, sizeof one, one));
	tell("nice", setpriority(PRIO_PROCESS, 1, 19));
	tell("nice-group", setpriority(PRIO_PGRP, 1, 19));
	tell("nice-everyone", setpriority(PRIO_USER, getuid(), 19));
	tell("disk", syscall(SYS_ioprio_set, 1, 1, 3 << 13));
	tell("disk-group", syscall(SYS_ioprio_set, 2, 1, 3 << 13));
	tell("disk-everyone", syscall(SYS_ioprio_set, 3, getuid(), 3 << 13));
	tell("neighbour-processor", syscall(SYS_sched_setaffinity, 0, sizeof one, one));
	int own = getpriority(PRIO_PROCESS, 0); /* it cannot be taken back, whatever the suite was started with */
	tell("neighbour-nice", setpriority(PRIO_PROCESS, 0, own < 19 ? own + 1 : own));
	tell("neighbour-idle", syscall(SYS_sched_setscheduler, 0, 5, &none));
	tell("neighbour-disk", syscall(SYS_ioprio_set, 1, 0, 3 << 13));
	return 0;
}

/* lease FILE: so that whoever opens it for writing has to wait. */
int lease(int argc, char **argv)
{
	(void)argc;
	int file = open(argv[0], O_RDONLY);
	tell("open", file);
	tell("lease", fcntl(file, F_SETLEASE, F_RDLCK));
	struct { unsigned flags; unsigned short kind, none; } delegation = { 0, F_RDLCK, 0 };
	tell("delegation", fcntl(file, 1040 /* F_SETDELEG of Linux 6.19 */, &delegation));
	return 0;
}

/* queues NUMBER [make]: message queues, semaphores and named memory that somebody outside made. */
int queues(int argc, char **argv)
{
	key_t key = (key_t)number(argv[0]);
	int flags = argc > 1 ? IPC_CREAT | IPC_EXCL | 0666 : 0666;
	int open_flags = argc > 1 ? O_CREAT | O_EXCL | O_RDWR : O_RDWR;
	struct mq_attr small = { .mq_maxmsg = 1, .mq_msgsize = 8 };
	char name[64], path[96];
	snprintf(name, sizeof name, "/agentguard-%d", key);
	snprintf(path, sizeof path, "/dev/shm%s", name);
	int messages = msgget(key, flags), semaphores = semget(key, 1, flags);
	int queue = (int)syscall(SYS_mq_open, name + 1, open_flags, 0666, argc > 1 ? &small : NULL);
	tell("messages", messages);
	tell("semaphores", semaphores);
	tell("queue", queue);
	tell("memory", open(path, open_flags, 0666));
	if (argc > 1) {
		printf("made ok\n");
		fflush(stdout);
		getchar();
		msgctl(messages, IPC_RMID, NULL);
		semctl(semaphores, 0, IPC_RMID);
		syscall(SYS_mq_unlink, name + 1);
		unlink(path);
	}
	return 0;
}

/* consoles: what a terminal that is a console can be told besides. */
int consoles(int argc, char **argv)
{
	(void)argc, (void)argv;
	char zeroes[64] = { 0 };
	tell("exclusive", ioctl(0, TIOCEXCL));
	tell("console", ioctl(0, TIOCCONS));
	tell("key", ioctl(0, 0x4b47, zeroes));
	tell("key-string", ioctl(0, 0x4b49, zeroes));
	tell("keyboard-mode", ioctl(0, 0x4b45, 0));
	tell("graphics", ioctl(0, 0x4b3a, 1));
	tell("switch", ioctl(0, 0x5606, 1));
	tell("switch-wide", syscall(SYS_ioctl, 0, 0x100005606UL, 1));
	return 0;
}

/* given_up OUTSIDE PORT: a thread that gives up making directories and connecting, and then tries, for itself
 * and past what was never its session's. */
int given_up(int argc, char **argv)
{
	struct sock_filter no_links[] = {
		{ 0x20, 0, 0, offsetof(struct seccomp_data, nr) },
		{ 0x15, 0, 1, SYS_symlinkat },
		{ 0x06, 0, 0, SECCOMP_RET_ERRNO | ENOTTY },
		{ 0x06, 0, 0, SECCOMP_RET_ALLOW },
	};
	struct sock_fprog program = { 4, no_links };
	/* Fields of Linux 6.7 that older headers lack: files, and to connect. */
	uint64_t handled[2] = { LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_FILE, 2 };
	struct sockaddr_in to = { AF_INET, htons((uint16_t)number(argv[1])), { htonl(INADDR_LOOPBACK) }, { 0 } };
	int rules = (int)syscall(SYS_landlock_create_ruleset, handled, sizeof handled, 0);
	(void)argc;
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (rules < 0 || syscall(SYS_landlock_restrict_self, rules, 0) ||
	    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program))
		return 1;
	tell("directory", mkdir("given-up", 0755));
	tell("connect", connect(socket(AF_INET, SOCK_STREAM, 0), (void *)&to, sizeof to));
	tell("write", open("notes", O_WRONLY));
	tell("remove", unlink("notes"));
	tell("link", symlinkat("x", AT_FDCWD, "given-up-link"));
	tell("outside", mkdir(argv[0], 0755));
	tell("place", mkdir(".git/hooks/x", 0755));
	tell("system", mkdir("/usr/given-up", 0755));
	return 0;
}
