#include "attack.h"

#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/ioprio.h>
#include <poll.h>
#include <pthread.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <termios.h>

/* slow PID: takes the processor, the disk and the nicer half of the machine away from a process outside. */
int slow(int argc, char **argv)
{
	pid_t pid = argc > 0 ? (pid_t)number(argv[0]) : 0;
	struct sched_param none = { 0 };
	cpu_set_t one;
	CPU_ZERO(&one);
	CPU_SET(0, &one);
	tell("nice", setpriority(PRIO_PROCESS, (id_t)pid, 19));
	tell("nice-all", setpriority(PRIO_USER, 0, 19));
	tell("processors", sched_setaffinity(pid, sizeof one, &one));
	tell("scheduler", sched_setscheduler(pid, SCHED_IDLE, &none));
	tell("parameters", sched_setparam(pid, &none));
	tell("disk", syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, pid, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0)));
	/* A group that it may have joined: of the same terminal, with its guard in it. */
	tell("nice-group", setpriority(PRIO_PGRP, 0, 19));
	tell("disk-group", syscall(SYS_ioprio_set, IOPRIO_WHO_PGRP, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0)));
	tell("neighbour", setpriority(PRIO_PROCESS, 0, 19));
	tell("neighbour-processors", sched_setaffinity(0, sizeof one, &one));
	return 0;
}

static void join(const char *what, pid_t group)
{
	struct termios modes;
	pid_t child = fork();
	if (child == 0) {
		tell(what, setpgid(0, group));
		int terminal = open("/dev/tty", O_RDWR);
		tcgetattr(terminal, &modes);
		tcsetattr(terminal, TCSANOW, &modes);
		exit(0);
	}
	/* Whoever is stopped with its group is not waited for to its end. */
	waitpid(child, NULL, WUNTRACED);
	kill(child, SIGKILL);
}

/* joins [GROUP]: changes the terminal as one of a group that is not in front, all of which the kernel stops for that. It
 * is its parent's where none is named, which the kernel then hangs up. */
int joins(int argc, char **argv)
{
	pid_t first = fork();
	if (first == 0) {
		pause();
		exit(0);
	}
	join("outside", argc > 0 ? (pid_t)number(argv[0]) : getpgid(getppid()));
	tell("own-begun", setpgid(0, getpid()));
	tell("neighbour-begun", setpgid(first, first));
	join("neighbour-joined", first);
	kill(first, SIGKILL);
	return 0;
}

#define SETXATTRAT 463 /* Linux 6.13 */
#define REMOVEXATTRAT 466
#define GET_FLAGS_32 0x80046601 /* FS_IOC32_GETFLAGS */

static void extended(const char *path, int file)
{
	tell("attribute-set", setxattr(path, "user.agent", "x", 1, 0));
	tell("attribute-lset", lsetxattr(path, "user.agent", "x", 1, 0));
	tell("attribute-fset", fsetxattr(file, "user.agent", "x", 1, 0));
	tell("attribute-remove", removexattr(path, "user.agent"));
	tell("attribute-lremove", lremovexattr(path, "user.agent"));
	tell("attribute-fremove", fremovexattr(file, "user.agent"));
	tell("later-setxattrat", syscall(SETXATTRAT, AT_FDCWD, path, 0, "user.agent", NULL, 0));
	tell("later-removexattrat", syscall(REMOVEXATTRAT, AT_FDCWD, path, 0, "user.agent"));
}

static void settings(int file)
{
	char zeroes[512] = { 0 };
	int flags = 0;
	tell("neighbour-flags", ioctl(file, FS_IOC_GETFLAGS, &flags));
	tell("refused-flags", ioctl(file, FS_IOC_SETFLAGS, &flags));
	tell("refused-project", ioctl(file, FS_IOC_FSSETXATTR, zeroes));
	tell("refused-version", ioctl(file, FS_IOC_SETVERSION, &flags));
	tell("refused-verity", ioctl(file, 0x40806685, zeroes)); /* FS_IOC_ENABLE_VERITY */
	tell("refused-fat", ioctl(file, 0x40047211, zeroes));
	tell("refused-btrfs", ioctl(file, 0x5000940e, zeroes));
	tell("refused-f2fs", ioctl(file, 0x4004f50d, zeroes));
	tell("refused-clone", ioctl(file, FICLONE, file));
	tell("told-flags", ioctl(file, GET_FLAGS_32, &flags));
	tell("told-place", ioctl(file, FS_IOC_FIEMAP, zeroes));
}

static void queues_of_all(void)
{
	char zeroes[512] = { 0 };
	tell("absent-mq_open", syscall(SYS_mq_open, "none", 0, 0, NULL));
	tell("absent-mq_unlink", syscall(SYS_mq_unlink, "none"));
	tell("absent-msgget", syscall(SYS_msgget, IPC_PRIVATE, 0600));
	tell("absent-msgctl", syscall(SYS_msgctl, -1, 0, zeroes));
	tell("absent-msgsnd", syscall(SYS_msgsnd, -1, zeroes, 0, 0));
	tell("absent-msgrcv", syscall(SYS_msgrcv, -1, zeroes, 0, 0, 0));
	tell("absent-semget", syscall(SYS_semget, IPC_PRIVATE, 1, 0600));
	tell("absent-semctl", syscall(SYS_semctl, -1, 0, 0, 0));
	tell("absent-semop", syscall(SYS_semop, -1, zeroes, 1));
	tell("absent-semtimedop", syscall(SYS_semtimedop, -1, zeroes, 1, NULL));
	tell("absent-shmget", syscall(SYS_shmget, IPC_PRIVATE, 4096, 0600));
	tell("absent-shmat", syscall(SYS_shmat, -1, NULL, 0));
	tell("absent-shmctl", syscall(SYS_shmctl, -1, 0, zeroes));
}

/* beside FILE PID: each call that would reach what processes outside have too, or take it from them, the error of each
 * in its name; what only tells, and what is one's own, beside it. */
int beside(int argc, char **argv)
{
	if (argc < 2)
		return 1;
	int file = open(argv[0], O_RDONLY);
	pid_t pid = (pid_t)number(argv[1]);
	char attributes_[48] = { sizeof attributes_ };
	extended(argv[0], file);
	settings(file);
	queues_of_all();
	tell("refused-attributes", syscall(SYS_sched_setattr, pid, attributes_, 0));
	/* Of a class that there is none of: let through, it would change nothing. */
	tell("refused-users-disk", syscall(SYS_ioprio_set, IOPRIO_WHO_USER, 0, 7 << 13));
	tell("watch", inotify_init1(0));
#ifdef __x86_64__
	tell("watch-old", syscall(SYS_inotify_init));
	tell("absent-utime", syscall(SYS_utime, argv[0], NULL));
#endif
	tell("network-four", socket(AF_INET, SOCK_STREAM, 0));
	tell("network-six", socket(AF_INET6, SOCK_DGRAM, 0));
	tell("network-links", socket(AF_NETLINK, SOCK_RAW, 0));
	tell("neighbour-socket", socket(AF_UNIX, SOCK_STREAM, 0));
	return 0;
}

#define FCHMODAT2 452 /* Linux 6.6, asm-generic/unistd.h */

static int attribute_calls(const char *path, const char *word)
{
	char name[64];
	struct timespec at[2] = { { 1000, 0 }, { 1000, 0 } };
	struct timeval then[2] = { { 1000, 0 }, { 1000, 0 } };
	int file = open(path, O_RDONLY), place = open(path, O_PATH);
#define TRY(what, call) (snprintf(name, sizeof name, "%s-%s", word, what), tell(name, call))
	TRY("fchmodat", fchmodat(AT_FDCWD, path, 0600, 0));
	TRY("fchmodat2", syscall(FCHMODAT2, AT_FDCWD, path, 0600, AT_SYMLINK_NOFOLLOW));
	TRY("fchmodat2-place", syscall(FCHMODAT2, place, "", 0600, AT_EMPTY_PATH));
	TRY("fchmodat2-empty", syscall(FCHMODAT2, AT_FDCWD, path, 0600, AT_EMPTY_PATH));
	TRY("fchownat", fchownat(AT_FDCWD, path, getuid(), (gid_t)-1, 0));
	TRY("fchownat-place", fchownat(place, "", getuid(), (gid_t)-1, AT_EMPTY_PATH));
	TRY("utimensat", utimensat(AT_FDCWD, path, at, AT_SYMLINK_NOFOLLOW));
	TRY("utimensat-now", utimensat(AT_FDCWD, path, NULL, 0));
	TRY("utimensat-place", utimensat(place, "", at, AT_EMPTY_PATH));
#ifdef SYS_chmod
	TRY("chmod", syscall(SYS_chmod, path, 0600));
	TRY("chown", syscall(SYS_chown, path, getuid(), -1));
	TRY("lchown", syscall(SYS_lchown, path, getuid(), -1));
	TRY("utimes", syscall(SYS_utimes, path, then));
	TRY("futimesat", syscall(SYS_futimesat, AT_FDCWD, path, then));
#endif
	if (file >= 0) {
		TRY("fchmod", fchmod(file, 0600));
		TRY("fchown", fchown(file, getuid(), (gid_t)-1));
		TRY("futimens", futimens(file, at));
		close(file);
	}
	close(place);
	return then[0].tv_sec == 1000 ? 0 : 1;
}

static char raced[4096];
static const char *both[2];

static void *swap(void *stop)
{
	for (int i = 0; !*(volatile int *)stop; i++)
		memcpy(raced, both[i & 1], strlen(both[i & 1]) + 1);
	return NULL;
}

/* attributes OUTSIDE OWN: every call that changes modes, owners or times, on a file outside by its path and by a
 * link that lies inside, on a directory beside it, and on one's own, also where that lies nowhere; then with a path
 * that another thread exchanges all the while. */
int attributes(int argc, char **argv)
{
	if (argc < 2 || symlink(argv[0], "to-outside") != 0)
		return 1;
	char directory[4096];
	snprintf(directory, sizeof directory, "%.*s/directory", (int)(strrchr(argv[0], '/') - argv[0]), argv[0]);
	attribute_calls(argv[0], "path");
	attribute_calls("to-outside", "link");
	attribute_calls(directory, "directory");
	attribute_calls(argv[1], "own");
	struct stat is;
	int is_changed = stat(argv[1], &is) == 0 && (is.st_mode & 0777) == 0600 && is.st_mtime == 1000;
	errno = EIO;
	tell("own-is-changed", is_changed ? 0 : -1);
	int removed = open("removed", O_RDWR | O_CREAT, 0600), ends[2];
	if (removed < 0 || unlink("removed") != 0 || pipe(ends) != 0)
		return 1;
	tell("own-removed", fchmod(removed, 0640));
	tell("own-memory", fchmod((int)syscall(SYS_memfd_create, "memory", 0), 0640));
	tell("own-pipe", fchmod(ends[0], 0640));
	tell("nothing-fchmod", fchmod(-1, 0600));
	tell("nothing-flags", syscall(FCHMODAT2, AT_FDCWD, argv[1], 0600, 1 << 28));
	tell("nothing-place", fchmod(open(argv[1], O_PATH), 0600));
	tell("nothing-futimens", futimens(-1, NULL));
	both[0] = argv[0];
	both[1] = argv[1];
	int stop = 0, done = 0;
	pthread_t thread;
	pthread_create(&thread, NULL, swap, &stop);
	for (int i = 0; i < 5000; i++)
		done += chmod(raced, i & 1 ? 0640 : 0600) == 0;
	stop = 1;
	pthread_join(thread, NULL);
	printf("raced %d\n", done);
	return 0;
}

#define NEITHER O_ACCMODE /* neither read nor written: open(2), "File access mode" */

/* beheld FILE TERMINAL: opened for neither reading nor writing, for which Landlock asks nothing, and what is told of a
 * file that is not opened at all. */
int beheld(int argc, char **argv)
{
	if (argc < 2)
		return 1;
	char told[64];
	struct pollfd terminal = { .fd = open(argv[1], NEITHER | O_NOCTTY), .events = POLLIN };
	tell("terminal", terminal.fd);
	if (terminal.fd >= 0)
		tell("typed", poll(&terminal, 1, 1000) == 1 ? 0 : -1);
	tell("file", open(argv[0], NEITHER));
	tell("file-at", syscall(SYS_openat, AT_FDCWD, argv[0], NEITHER));
	tell("file-wide", syscall(SYS_openat, AT_FDCWD, argv[0], NEITHER | 1UL << 32));
#ifdef SYS_open
	tell("file-old", syscall(SYS_open, argv[0], NEITHER));
#endif
	tell("attribute", getxattr(argv[0], "user.secret", told, sizeof told));
	tell("attribute-of-link", lgetxattr(argv[0], "user.secret", told, sizeof told));
	tell("attributes", listxattr(argv[0], told, sizeof told));
	tell("attributes-of-link", llistxattr(argv[0], told, sizeof told));
	tell("absent-getxattrat", syscall(464, AT_FDCWD, argv[0], 0, "user.secret", told, 16));
	tell("absent-listxattrat", syscall(465, AT_FDCWD, argv[0], 0, told, sizeof told));
	tell("neighbour-place", open(argv[0], NEITHER | O_PATH));
	tell("neighbour-own", open("own", O_RDWR | O_CREAT, 0600));
	return 0;
}

/* chains NAME: processes that each live for a moment, make the next and end: whoever looks for them and then
 * kills what it found comes too late. The first goes on until there were many, so that they are on their way. */
int chains(int argc, char **argv)
{
	struct stat made;
	const char *name = argc > 0 ? argv[0] : "chain";
	int file = open(name, O_WRONLY | O_CREAT | O_APPEND, 0644);
	if (file < 0)
		return 1;
	for (int i = 0; i < 8; i++) {
		if (fork() != 0)
			continue;
		setsid();
		for (;;) {
			if (write(file, "x", 1) != 1)
				_exit(1);
			if (fork() != 0)
				_exit(0);
		}
	}
	while (fstat(file, &made) == 0 && made.st_size <= 100)
		usleep(10 * 1000);
	puts("chains ok");
	return 0;
}
