/* Chance: system calls at random, with arguments that are hostile more often than chance would have it. */
#include "attack.h"
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/xattr.h>

#define COUNT(list) (sizeof(list) / sizeof *(list))

/* What is counted survives the processes that count. */
static volatile struct {
	long calls, succeeded, silent, sequences;
} *counted;

static uint64_t state;

static uint64_t next(void)
{
	/* splitmix64 */
	uint64_t z = state += 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static uint64_t below(uint64_t limit)
{
	return next() % limit;
}

static int once_in(uint64_t n)
{
	return below(n) == 0;
}

/* Processes, ports and files outside, as the arguments name them. */
static long pids[16], ports[4];
static size_t pid_count, port_count;
static const char *targets[32];
static size_t target_count;

static const char *const inside[] = {
	".", "..", "a", "b", "c/d", "link", "c/link", ".git/config", ".git/hooks", ".git/hooks/pre-commit", ".git",
	"/", "/etc/passwd", "/etc", "/usr/bin/env", "/tmp", "/tmp/x", "/dev/shm/x", "/run", "/var/tmp", "/proc",
	"/proc/1/root", "/proc/1/mem", "/proc/1/fd/0", "/proc/1/ns/mnt", "/proc/1/cwd", "/proc/self/exe",
	"/proc/self/mem", "/proc/self/attr/current", "/proc/self/uid_map", "/proc/sys/kernel/core_pattern",
	"/proc/sysrq-trigger", "/proc/self/ns/user", "/proc/self/ns/net", "/sys/fs/cgroup", "/sys/kernel", "/dev/tty",
	"/dev/ptmx", "/dev/null", "/dev/mem", "", "\xff\xfe", "/run/agentguard",
};
static const char *const before[] = {
	"/proc/self/root", "/proc/self/cwd/../../..", "/proc/1/root", "/proc/thread-self/root", "../../../../../..",
	"/./", "link", "/proc/self/fd/3", "/proc/self/fd/4/../..", "/dev/fd/5", "//",
};
static const char *const some_names[] = { "x", "..", ".", "new", "../outside", ".git", "pre-commit", "a" };

/* A path that somebody could come up with. */
static char *path(void)
{
	static char made[8][4200];
	static unsigned turn;
	char *text = made[turn++ % 8];
	const char *base = once_in(2) && target_count ? targets[below(target_count)] : inside[below(COUNT(inside))];
	switch (below(6)) {
	case 0:
		snprintf(text, sizeof made[0], "%s%s", before[below(COUNT(before))], base);
		break;
	case 1:
		snprintf(text, sizeof made[0], "%s/%s", base, some_names[below(COUNT(some_names))]);
		break;
	case 2:
		snprintf(text, sizeof made[0], "/proc/self/fd/%lu/%s", (unsigned long)below(12),
			 some_names[below(COUNT(some_names))]);
		break;
	case 3:
		snprintf(text, sizeof made[0], "/proc/%ld/%s", pid_count ? pids[below(pid_count)] : 1,
			 once_in(2) ? "root" : "fd/3");
		break;
	default:
		snprintf(text, sizeof made[0], "%s", base);
	}
	return text;
}

static int descriptor(void)
{
	static const int odd[] = { AT_FDCWD, -1, 0x7fffffff };
	return once_in(6) ? odd[below(COUNT(odd))] : (int)below(14);
}

/* Memory: random, empty, unreadable. */
static void *some_memory(void)
{
	static char space[4][8192];
	static unsigned turn;
	char *block = space[turn++ % 4];
	if (once_in(12))
		return once_in(2) ? NULL : (void *)(uintptr_t)(below(4096) + 1);
	memset(block, 0, sizeof space[0]);
	for (size_t i = below(64) + 1; i > 0; i--)
		block[below(once_in(4) ? sizeof space[0] : 64)] = (char)next();
	return block;
}

static long pid(void)
{
	return pid_count && !once_in(4) ? pids[below(pid_count)] : once_in(2) ? 1 : getpid();
}

static const unsigned long constants[] = {
	0, 1, 2, 3, 4, 7, 8, 16, 0644, 0755, 04755, 02755, 0777, 0x1000, 0x10000, 0x80000, 0xffffffff, 1ul << 31, 1ul << 40,
	O_RDWR, O_CREAT | O_RDWR, O_TRUNC | O_WRONLY, O_PATH, O_TMPFILE | O_RDWR, O_DIRECTORY, O_NOFOLLOW | O_PATH,
	AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH, AT_REMOVEDIR, AT_SYMLINK_FOLLOW, S_IFSOCK | 0666, S_IFIFO | 0666, S_IFCHR | 0666,
	CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWPID, CLONE_FS, CLONE_FILES, CLONE_PARENT, CLONE_VM, TIOCSTI, TIOCLINUX,
	TIOCSETD, TIOCSCTTY, PTRACE_ATTACH, PTRACE_SEIZE, PR_SET_DUMPABLE, PR_SET_MM, PR_SET_PTRACER, SIGKILL, SIGSTOP, SIGIO,
	F_SETOWN, F_SETFL, F_DUPFD, F_SETSIG, F_SETLEASE, F_NOTIFY, (unsigned long)AT_FDCWD, -1ul,
};

static unsigned long constant(void)
{
	return once_in(8) ? next() >> below(64) : constants[below(COUNT(constants))];
}

static unsigned long anything(void)
{
	switch (below(6)) {
	case 0:
		return (unsigned long)path();
	case 1:
		return (unsigned long)descriptor();
	case 2:
		return (unsigned long)some_memory();
	case 3:
		return (unsigned long)pid();
	default:
		return constant();
	}
}

static socklen_t address(struct sockaddr_storage *storage)
{
	memset(storage, 0, sizeof *storage);
	if (port_count && once_in(2)) {
		struct sockaddr_in *four = (struct sockaddr_in *)storage;
		four->sin_family = AF_INET;
		four->sin_port = htons((uint16_t)ports[below(port_count)]);
		four->sin_addr.s_addr = htonl(once_in(4) ? 0 : INADDR_LOOPBACK);
		return sizeof *four;
	}
	struct sockaddr_un *local = (struct sockaddr_un *)storage;
	int is_abstract = once_in(4);
	local->sun_family = AF_UNIX;
	strncpy(local->sun_path + is_abstract, path(), sizeof local->sun_path - 2);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + is_abstract +
			   strlen(local->sun_path + is_abstract) + !is_abstract);
}

static long sockets_at_random(void)
{
	static const int families[] = { AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, 40, 38, 15, 16, 44 };
	static const int types[] = { SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET, 10 };
	struct sockaddr_storage storage;
	struct iovec text = { "reached", 7 };
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { .header = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	struct msghdr message = { .msg_name = &storage, .msg_iov = &text, .msg_iovlen = 1 };
	switch (below(7)) {
	case 0:
	case 1:
		return socket(families[below(once_in(3) ? COUNT(families) : 3)],
			      types[below(once_in(3) ? COUNT(types) : 2)] | SOCK_NONBLOCK, once_in(6) ? 262 : 0);
	case 2:
		return bind(descriptor(), (void *)&storage, address(&storage));
	case 3:
		return connect(descriptor(), (void *)&storage, address(&storage));
	case 4:
		return sendto(descriptor(), "reached", 7, MSG_DONTWAIT | MSG_NOSIGNAL | (once_in(4) ? MSG_FASTOPEN : 0),
			      (void *)&storage, address(&storage));
	case 5:
		message.msg_namelen = address(&storage);
		*(int *)CMSG_DATA(&control.header) = descriptor();
		message.msg_control = once_in(2) ? &control : NULL;
		message.msg_controllen = message.msg_control ? sizeof control.space : 0;
		return sendmsg(descriptor(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	default:
		return setsockopt(descriptor(), (int)below(300), (int)below(64), some_memory(), (socklen_t)below(64));
	}
}

static long files_at_random(void)
{
	struct timespec times[2] = { { (time_t)below(2000000000), 0 }, { (time_t)below(2000000000), 0 } };
	mode_t mode = (mode_t)below(010000);
	switch (below(26)) {
	case 0:
	case 1:
	case 2:
		return syscall(SYS_openat, descriptor(), path(), (int)constant() | O_NONBLOCK | O_NOCTTY, mode);
	case 3:
		return open(path(), O_RDWR | O_CREAT | O_NONBLOCK | O_NOCTTY, mode);
	case 4:
		return open(path(), O_PATH);
	case 5:
		return open(path(), O_RDONLY | O_DIRECTORY | O_NONBLOCK);
	case 6:
		return renameat2(descriptor(), path(), descriptor(), path(), (unsigned)below(8));
	case 7:
		return rename(path(), path());
	case 8:
		return linkat(descriptor(), path(), descriptor(), path(), (int)constant());
	case 9:
		return symlinkat(path(), descriptor(), path());
	case 10:
		return unlinkat(descriptor(), path(), once_in(4) ? AT_REMOVEDIR : 0);
	case 11:
		return mkdirat(descriptor(), path(), mode);
	case 12:
		return mknodat(descriptor(), path(), (mode_t)constant() | mode, (dev_t)below(0x1000));
	case 13:
		return truncate(path(), (off_t)below(100000));
	case 14:
		return fchmodat(descriptor(), path(), mode, 0);
	case 15:
		return syscall(452, descriptor(), path(), mode, (int)constant());
	case 16:
		return fchownat(descriptor(), path(), (uid_t)below(70000), (gid_t)below(70000), (int)constant());
	case 17:
		return utimensat(descriptor(), path(), times, (int)constant());
	case 18:
		return setxattr(path(), once_in(2) ? "user.reached" : "security.capability", "x", 1, 0);
	case 19:
		return removexattr(path(), "user.kept");
	case 20:
		return fsetxattr(descriptor(), "user.reached", "x", 1, 0);
	case 21:
		return write(descriptor(), "reached", 7);
	case 22:
		return ftruncate(descriptor(), (off_t)below(100000));
	case 23:
		return fchmod(descriptor(), mode);
	case 24:
		return futimens(descriptor(), times);
	default:
		return fchown(descriptor(), (uid_t)below(70000), (gid_t)-1);
	}
}

static long kernel_at_random(void)
{
	struct {
		unsigned bytes;
		int type;
		unsigned inode[4];
	} handle = { 8, 1, { 2 + (unsigned)below(20), 0, 0, 0 } };
	struct iovec here = { some_memory(), 8 }, there = { some_memory(), 8 };
	switch (below(22)) {
	case 0:
		return syscall(SYS_mount, path(), path(), once_in(2) ? "tmpfs" : "none", constant(), "");
	case 1:
		return syscall(SYS_umount2, path(), (int)below(16));
	case 2:
		return syscall(SYS_unshare, constant());
	case 3:
		return syscall(SYS_setns, descriptor(), constant());
	case 4:
		return syscall(SYS_chroot, path());
	case 5:
		return syscall(SYS_open_by_handle_at, descriptor(), &handle, O_RDWR);
	case 6:
		return syscall(SYS_name_to_handle_at, descriptor(), path(), &handle, some_memory(), (int)constant());
	case 7:
		return syscall(SYS_ptrace, constant(), pid(), some_memory(), some_memory());
	case 8:
		return syscall(SYS_process_vm_writev, pid(), &here, 1, &there, 1, 0);
	case 9:
		return syscall(438, descriptor(), (int)below(8), 0);
	case 10:
		return syscall(SYS_prlimit64, pid(), (int)below(16), some_memory(), some_memory());
	case 11:
		return setpriority((int)below(3), (id_t)pid(), (int)below(20));
	case 12:
		return syscall(425, 4, some_memory());
	case 13:
		return syscall(428, descriptor(), path(), 1);
	case 14:
		return syscall(429, descriptor(), path(), descriptor(), path(), constant());
	case 15:
		return syscall(SYS_keyctl, below(32), constant(), constant(), constant(), constant());
	case 16:
		return syscall(SYS_ioctl, descriptor(), constant(), anything());
	case 17:
		return syscall(SYS_prctl, below(70), constant(), constant(), constant(), constant());
	case 18:
		return fcntl(descriptor(), (int)below(16), constant());
	case 19:
		return shmget((key_t)below(8), 4096, (int)constant());
	case 20:
		return syscall(SYS_pidfd_open, pid(), 0);
	default:
		return syscall(SYS_bpf, below(32), some_memory(), 64);
	}
}

/* Signals go to numbers outside, and to pid 1: the rest would only end the attack. */
static long signals_at_random(void)
{
	char information[128] = { 0 };
	long to = pid_count && !once_in(4) ? pids[below(pid_count)] : 1;
	int signal_ = once_in(2) ? (int)below(65) : SIGKILL;
	switch (below(4)) {
	case 0:
		return kill((pid_t)to, signal_);
	case 1:
		return syscall(SYS_tgkill, to, to, signal_);
	case 2:
		return syscall(SYS_rt_sigqueueinfo, to, signal_, information);
	default:
		return to == 1 ? -1 : kill(-(pid_t)to, signal_);
	}
}

static long programs_at_random(void)
{
	char *arguments[] = { path(), "x", NULL };
	char *variables[] = { once_in(2) ? "LD_PRELOAD=./a" : "A=b", NULL };
	pid_t child = fork();
	if (child == 0) {
		syscall(SYS_execveat, descriptor(), path(), arguments, variables, once_in(2) ? AT_EMPTY_PATH : 0);
		_exit(1);
	}
	return child;
}

/* A number that is no signal to the attack itself, does not wait, and does not write the machine's disks out. */
static long any_number(void)
{
	static const long others[] = {
		SYS_kill, SYS_tkill, SYS_tgkill, SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo, 424, SYS_execve, SYS_execveat,
		SYS_sync, SYS_syncfs, SYS_exit, SYS_exit_group, SYS_rt_sigreturn,
#ifdef __x86_64__
		SYS_pause, SYS_vfork,
#endif
	};
	long number_ = once_in(16) ? (long)below(1100) : (long)below(472);
	for (size_t i = 0; i < COUNT(others); i++)
		if (others[i] == number_)
			return SYS_getpid;
	return number_;
}

static long one_call(void)
{
	switch (below(16)) {
	case 0:
	case 1:
	case 2:
	case 3:
	case 4:
		return files_at_random();
	case 5:
	case 6:
		return sockets_at_random();
	case 7:
	case 8:
		return kernel_at_random();
	case 9:
		return once_in(2) ? signals_at_random() : dup(descriptor());
	case 10:
		return once_in(12) ? programs_at_random() : chdir(path());
	default:
		return syscall(any_number(), anything(), anything(), anything(), anything(), anything(), anything());
	}
}

/* Descriptors to begin with: what is its own, what it may read, and what can be held of the rest. */
static void hold(void)
{
	int nothing = open("/dev/null", O_RDWR);
	dup2(nothing, 0);
	dup2(nothing, 1);
	dup2(nothing, 2);
	(void)open("c", O_RDONLY | O_DIRECTORY);
	(void)open("a", O_RDWR);
	(void)open("b", O_RDWR);
	(void)open("/proc/self", O_RDONLY | O_DIRECTORY);
	(void)socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	(void)socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	for (size_t i = 0; i < 4 && target_count; i++)
		(void)open(targets[below(target_count)], once_in(2) ? O_PATH : O_RDONLY | O_NONBLOCK);
}

static void sequence(void)
{
	struct itimerval patience = { .it_value = { .tv_usec = 60000 } };
	setitimer(ITIMER_REAL, &patience, NULL);
	pid_t own = getpid();
	hold();
	for (int i = 0; i < 64; i++) {
		long result = one_call();
		/* Whoever came to be on the way has no business here. */
		if (getpid() != own)
			syscall(SYS_exit, 0);
		counted->calls++;
		counted->succeeded += result >= 0;
	}
}

/* Something to stumble over, made anew for each sequence. */
static void furnish(void)
{
	static const char *const files[] = { "a", "b", "c/d" };
	mkdir("c", 0755);
	for (size_t i = 0; i < COUNT(files); i++)
		close(open(files[i], O_CREAT | O_WRONLY | O_NONBLOCK | O_NOFOLLOW, 0644));
	for (size_t i = 0; i < 2 && target_count; i++)
		if (symlink(targets[below(target_count)], i ? "c/link" : "link") < 0 && errno != EEXIST)
			break;
}

static void bounded(int resource, rlim_t most)
{
	struct rlimit limit = { most, most };
	setrlimit(resource, &limit);
}

/* chance SEED FROM COUNT {pid:N | port:N | PATH}...: runs sequences FROM to FROM + COUNT. Each depends on
 * the seed and its own number only. */
int chance(int argc, char **argv)
{
	uint64_t seed = (uint64_t)number(argv[0]), first = (uint64_t)number(argv[1]), count = (uint64_t)number(argv[2]);
	for (int i = 3; i < argc; i++)
		if (strncmp(argv[i], "pid:", 4) == 0 && pid_count < COUNT(pids))
			pids[pid_count++] = number(argv[i] + 4);
		else if (strncmp(argv[i], "port:", 5) == 0 && port_count < COUNT(ports))
			ports[port_count++] = number(argv[i] + 5);
		else if (target_count < COUNT(targets))
			targets[target_count++] = argv[i];
	counted = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	bounded(RLIMIT_FSIZE, 1 << 20);
	bounded(RLIMIT_AS, 256 << 20);
	int back = open(".", O_RDONLY | O_DIRECTORY);
	for (uint64_t i = first; i < first + count; i++) {
		state = seed * 0x100000001b3u + i;
		if (fchmod(back, 0755) < 0 || fchdir(back) < 0)
			return 1;
		furnish();
		fflush(stdout);
		pid_t child = fork();
		if (child == 0) {
			setpgid(0, 0);
			close(back);
			sequence();
			_exit(0);
		}
		siginfo_t ended;
		for (int tries = 0; tries < 200; tries++) {
			ended.si_pid = 0;
			waitid(P_PID, (id_t)child, &ended, WEXITED | WNOHANG | WNOWAIT);
			if (ended.si_pid != 0)
				break;
			usleep(tries < 20 ? 200 : 1000);
		}
		/* Everything that came of it, and nothing else: the session has no other processes. */
		counted->silent += ended.si_pid == 0;
		kill(-1, SIGKILL);
		while (waitpid(-1, NULL, 0) > 0)
			;
		counted->sequences++;
	}
	printf("sequences %ld\ncalls %ld\nsucceeded %ld\nwaited %ld\n", counted->sequences, counted->calls,
	       counted->succeeded, counted->silent);
	return 0;
}

static volatile sig_atomic_t signalled;

static void note(int number_)
{
	signalled = number_;
}

/* bystander: lives outside, and says in the end what has become of it. */
int bystander(int argc, char **argv)
{
	(void)argc, (void)argv;
	static char kept[65536];
	struct rlimit limits[RLIM_NLIMITS], now;
	struct sigaction action = { .sa_handler = note, .sa_flags = SA_RESTART };
	memset(kept, 0x5a, sizeof kept);
	for (int i = 1; i < 65; i++)
		sigaction(i, &action, NULL);
	for (int i = 0; i < RLIM_NLIMITS; i++)
		getrlimit(i, &limits[i]);
	int nice_ = getpriority(PRIO_PROCESS, 0);
	printf("ready\n");
	fflush(stdout);
	(void)getchar();
	int is_kept = 1, is_limited = 0;
	for (size_t i = 0; i < sizeof kept; i++)
		is_kept &= kept[i] == 0x5a;
	for (int i = 0; i < RLIM_NLIMITS; i++)
		is_limited |= getrlimit(i, &now) < 0 || memcmp(&now, &limits[i], sizeof now) != 0;
	printf("signal %d\nmemory %s\nlimits %s\nnice %d\n", (int)signalled, is_kept ? "kept" : "changed",
	       is_limited ? "changed" : "kept", getpriority(PRIO_PROCESS, 0) - nice_);
	return 0;
}
