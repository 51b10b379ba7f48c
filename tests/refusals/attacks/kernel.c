/* Interfaces of the kernel. */
#include "attack.h"
#include <linux/seccomp.h>
#include <linux/filter.h>
#include <sys/prctl.h>

/* interfaces: each with arguments that could do no harm if it were let through. */
int interfaces(int argc, char **argv)
{
	(void)argc, (void)argv;
	char zeroes[256] = { 0 };
	int own = open("/proc/self/ns/mnt", O_RDONLY);
	tell("unshare-user", unshare(CLONE_NEWUSER));
	tell("unshare-mount", unshare(CLONE_NEWNS));
	tell("unshare-files", unshare(CLONE_FS));
	tell("setns", setns(own, 0));
	tell("mount", syscall(SYS_mount, "none", "/tmp", "tmpfs", 0, ""));
	tell("remount", syscall(SYS_mount, "none", "/etc", "", 32 | 4096, ""));
	tell("umount", syscall(SYS_umount2, "/tmp", 0));
	tell("pivot_root", syscall(SYS_pivot_root, "/", "/"));
	tell("chroot", syscall(SYS_chroot, "/"));
	tell("open_tree", syscall(428, AT_FDCWD, "/", 1));
	tell("move_mount", syscall(429, -1, "", -1, "", 0));
	tell("fsopen", syscall(430, "tmpfs", 0));
	tell("fsconfig", syscall(431, -1, 0, 0, 0, 0));
	tell("fsmount", syscall(432, -1, 0, 0));
	tell("fspick", syscall(433, AT_FDCWD, "/", 0));
	tell("mount_setattr", syscall(442, AT_FDCWD, "/", 0, zeroes, 32));
	tell("ptrace-me", syscall(SYS_ptrace, 0, 0, 0, 0));
	tell("bpf", syscall(SYS_bpf, 0, zeroes, sizeof zeroes));
	tell("perf", syscall(SYS_perf_event_open, zeroes, 0, -1, -1, 0));
	tell("userfaultfd", syscall(SYS_userfaultfd, 1));
	tell("fanotify", syscall(SYS_fanotify_init, 0, 0));
	tell("quotactl", syscall(SYS_quotactl, 0, "", 0, 0));
	tell("io_uring_setup", syscall(425, 4, zeroes));
	tell("io_uring_enter", syscall(426, -1, 0, 0, 0, 0));
	tell("io_uring_register", syscall(427, -1, 0, 0, 0));
	tell("name_to_handle_at", syscall(SYS_name_to_handle_at, AT_FDCWD, "/", zeroes, zeroes + 128, 0));
	tell("open_by_handle_at", syscall(SYS_open_by_handle_at, AT_FDCWD, zeroes, 0));
	tell("keyctl", syscall(SYS_keyctl, 0, -3, 0));
	tell("add_key", syscall(SYS_add_key, "user", "x", "x", 1, -3));
	tell("request_key", syscall(SYS_request_key, "user", "x", 0, -3));
	tell("acct", syscall(SYS_acct, 0));
	tell("swapon", syscall(SYS_swapon, "/nowhere", 0));
	tell("swapoff", syscall(SYS_swapoff, "/nowhere"));
	tell("reboot", syscall(SYS_reboot, 0, 0, 0, 0));
	tell("kexec_load", syscall(SYS_kexec_load, 0, 0, 0, 1 << 30));
	tell("kexec_file_load", syscall(SYS_kexec_file_load, -1, -1, 0, "", 1 << 30));
	tell("init_module", syscall(SYS_init_module, zeroes, 0, ""));
	tell("finit_module", syscall(SYS_finit_module, -1, "", 0));
	tell("delete_module", syscall(SYS_delete_module, "nothing", 0));
	tell("settimeofday", syscall(SYS_settimeofday, 0, zeroes));
	tell("clock_settime", syscall(SYS_clock_settime, -1, zeroes));
	tell("sethostname", syscall(SYS_sethostname, "x", 1));
	tell("setdomainname", syscall(SYS_setdomainname, "x", 1));
	tell("syslog", syscall(SYS_syslog, 10, 0, 0));
	tell("vhangup", syscall(SYS_vhangup));
	tell("personality", syscall(SYS_personality, 0x0040000));
#ifdef __x86_64__
	tell("personality-wide", syscall(SYS_personality, 0x100000000UL | 0x0040000));
#endif
	tell("newest", syscall(467, 0, 0, 0, 0));
	tell("not-yet", syscall(700, 0, 0, 0, 0));
#ifdef __x86_64__
	tell("iopl", syscall(SYS_iopl, 0));
	tell("ioperm", syscall(SYS_ioperm, 0, 1, 0));
	tell("modify_ldt", syscall(SYS_modify_ldt, 0, zeroes, 16));
#endif
	tell("limit-of-another", syscall(SYS_prlimit64, 1, 7, 0, zeroes));
	tell("neighbour", syscall(SYS_getpid));
	tell("neighbour-limit", syscall(SYS_prlimit64, 0, 7, 0, zeroes));
	return 0;
}

static long cloned(unsigned long flags)
{
	long child = syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
	if (child == 0)
		_exit(0);
	if (child > 0)
		waitpid((pid_t)child, NULL, __WALL);
	return child;
}

/* clones: processes that share or own too much. */
int clones(int argc, char **argv)
{
	(void)argc, (void)argv;
	static const struct {
		const char *name;
		unsigned long flags;
	} kinds[] = {
		{ "user", CLONE_NEWUSER },   { "mount", CLONE_NEWNS },	 { "net", CLONE_NEWNET },
		{ "pid", CLONE_NEWPID },     { "ipc", CLONE_NEWIPC },	 { "uts", CLONE_NEWUTS },
		{ "cgroup", CLONE_NEWCGROUP }, { "parent", CLONE_PARENT }, { "fs", CLONE_FS },
		{ "neighbour", 0 },
	};
	char zeroes[88] = { 0 };
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		tell(kinds[i].name, cloned(kinds[i].flags));
	tell("clone3", syscall(435, zeroes, sizeof zeroes));
	return 0;
}

/* legacy: the same calls by other doors. */
int legacy(int argc, char **argv)
{
	(void)argc, (void)argv;
#ifdef __x86_64__
	tell("x32", syscall(0x40000000 | SYS_getpid));
	pid_t child = fork();
	if (child == 0) {
		long result;
		__asm__ volatile("int $0x80" : "=a"(result) : "a"(20) : "memory");
		_exit(result > 0 ? 0 : 1);
	}
	int status;
	waitpid(child, &status, 0);
	printf("int80 %s\n", WIFSIGNALED(status) ? "killed" : "ok");
#endif
	return 0;
}

/* listener: a supervisor of one's own, that would hear of execs first. */
int listener(int argc, char **argv)
{
	(void)argc, (void)argv;
	struct sock_filter allow[] = { { 0x06, 0, 0, 0x7fff0000 } };
	struct sock_fprog program = { 1, allow };
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	tell("listener", syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program));
	tell("neighbour", syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program));
	return 0;
}

/* kernel_files: files that are switches. */
int kernel_files(int argc, char **argv)
{
	(void)argc, (void)argv;
	static const char *const files[] = {
		"/proc/sysrq-trigger",	     "/proc/sys/kernel/core_pattern",	"/proc/sys/kernel/hostname",
		"/proc/sys/vm/drop_caches",  "/proc/sys/fs/binfmt_misc/register", "/proc/self/mem",
		"/proc/self/uid_map",	     "/proc/self/oom_score_adj",	"/proc/self/coredump_filter",
		"/proc/self/attr/current",   "/proc/1/mem",			"/proc/1/oom_score_adj",
		"/sys/power/state",	     "/sys/kernel/uevent_helper",	"/sys/fs/cgroup/cgroup.procs",
		"/sys/fs/cgroup/release_agent", "/sys/kernel/debug/sched/debug", "/sys/fs/cgroup/devices/devices.allow",
	};
	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		int file = open(files[i], O_WRONLY);
		tell(files[i], file);
		if (file >= 0)
			close(file);
	}
	tell("mkdir-cgroup", mkdir("/sys/fs/cgroup/agentguard-attack", 0755));
	return 0;
}
