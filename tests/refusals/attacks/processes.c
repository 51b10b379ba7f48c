/* Processes, memory and terminals that are not the agent's. */
#include "attack.h"
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <termios.h>

/* signals PID...: tries to end each. */
int signals(int argc, char **argv)
{
	for (int i = 0; i < argc; i++) {
		pid_t pid = (pid_t)number(argv[i]);
		char what[64];
		snprintf(what, sizeof what, "kill:%d", pid);
		tell(what, kill(pid, SIGKILL));
		int handle = (int)syscall(SYS_pidfd_open, pid, 0);
		snprintf(what, sizeof what, "pidfd:%d", pid);
		tell(what, handle < 0 ? -1 : syscall(SYS_pidfd_send_signal, handle, SIGKILL, NULL, 0));
	}
	return 0;
}

/* What tells of one byte by SIGKILL to whoever owns it. */
static void owned(int ends[2], pid_t pid)
{
	struct f_owner_ex owner = { F_OWNER_PID, pid };
	fcntl(ends[0], F_SETOWN_EX, &owner);
	fcntl(ends[0], F_SETSIG, SIGKILL);
	fcntl(ends[0], F_SETFL, O_ASYNC | O_NONBLOCK);
	tell("write", write(ends[1], "x", 1));
}

/* owners PID: a signal by the owner of a pipe, a socket, a directory that is watched. */
int owners(int argc, char **argv)
{
	(void)argc;
	pid_t pid = (pid_t)number(argv[0]);
	int ends[2], others[2], pair[2], status = 0;
	tell("pipes", pipe(ends) | pipe(others) | socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	pid_t child = fork();
	if (child == 0) {
		pause();
		_exit(0);
	}
	owned(ends, child);
	waitpid(child, &status, 0);
	tell("neighbour", WIFSIGNALED(status) ? 0 : -1);
	owned(others, pid);
	owned(pair, pid);
	int directory = open(".", O_RDONLY | O_DIRECTORY);
	fcntl(directory, F_SETSIG, SIGKILL);
	/* Without an owner it would be sent to us. */
	if (fcntl(directory, F_SETOWN, pid) == 0)
		fcntl(directory, F_NOTIFY, 4 /* DN_CREATE */);
	close(open("made", O_CREAT | O_RDWR, 0600));
	tell("tried", 0);
	return 0;
}

static long open_proc(pid_t pid, const char *file, int flags)
{
	char path[128];
	snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
	int opened = open(path, flags);
	if (opened >= 0)
		close(opened);
	return opened;
}

/* reach PID: tries to read, trace or change another process. */
int reach(int argc, char **argv)
{
	(void)argc;
	pid_t pid = (pid_t)number(argv[0]);
	char byte;
	struct iovec here = { &byte, 1 }, there = { (void *)environ, 1 };
	struct rlimit limit = { 1, 1 };
	int handle = (int)syscall(SYS_pidfd_open, pid, 0);
	tell("ptrace", ptrace(PTRACE_ATTACH, pid, 0, 0));
	tell("seize", ptrace(PTRACE_SEIZE, pid, 0, 0));
	tell("vm-read", process_vm_readv(pid, &here, 1, &there, 1, 0));
	tell("vm-write", process_vm_writev(pid, &here, 1, &there, 1, 0));
	tell("madvise", syscall(SYS_process_madvise, handle, &there, 1, 21, 0));
	tell("getfd", syscall(SYS_pidfd_getfd, handle, 0, 0));
	tell("kcmp", syscall(SYS_kcmp, pid, getpid(), 0, 0, 0));
	tell("limit", prlimit(pid, RLIMIT_NOFILE, &limit, NULL));
	tell("mem", open_proc(pid, "mem", O_RDWR));
	tell("environ", open_proc(pid, "environ", O_RDONLY));
	tell("maps", open_proc(pid, "maps", O_RDONLY));
	tell("root", open_proc(pid, "root", O_RDONLY | O_DIRECTORY));
	tell("cwd", open_proc(pid, "cwd", O_RDONLY | O_DIRECTORY));
	tell("fd", open_proc(pid, "fd", O_RDONLY | O_DIRECTORY));
	tell("namespace", open_proc(pid, "ns/mnt", O_RDONLY));
	return 0;
}

static void said_of(const char *whom, const char *what, long result)
{
	char words[64];
	snprintf(words, sizeof words, "%s-%s", whom, what);
	tell(words, result);
}

/* Sets what a number stands for to what it is already. */
static void set_as_it_is(const char *whom, pid_t pid)
{
	enum { PROCESS = 1 }; /* IOPRIO_WHO_PROCESS, linux/ioprio.h */
	struct rlimit limit;
	struct sched_param none = { 0 };
	char attributes_[48] = { sizeof attributes_ };
	unsigned long processors[16] = { 0 };
	getrlimit(RLIMIT_NOFILE, &limit);
	syscall(SYS_sched_getaffinity, 0, sizeof processors, processors);
	said_of(whom, "limit", prlimit(pid, RLIMIT_NOFILE, &limit, NULL));
	said_of(whom, "nice", setpriority(PRIO_PROCESS, (id_t)pid, getpriority(PRIO_PROCESS, 0)));
	said_of(whom, "disk", syscall(SYS_ioprio_set, PROCESS, pid, 0));
	said_of(whom, "processors", syscall(SYS_sched_setaffinity, pid, sizeof processors, processors));
	said_of(whom, "class", syscall(SYS_sched_setscheduler, pid, SCHED_OTHER, &none));
	said_of(whom, "parameter", syscall(SYS_sched_setparam, pid, &none));
	said_of(whom, "attributes", syscall(SYS_sched_setattr, pid, attributes_, 0));
}

static void *as_a_thread(void *first)
{
	set_as_it_is("thread", (pid_t)syscall(SYS_gettid));
	set_as_it_is("its-process", getpid());
	set_as_it_is("another-thread", *(pid_t *)first);
	return NULL;
}

static void *that_waits(void *number_)
{
	*(pid_t *)number_ = (pid_t)syscall(SYS_gettid);
	pause();
	return NULL;
}

/* of_itself: how a process runs, by its own number, a thread's, nobody's and its child's. */
int of_itself(int argc, char **argv)
{
	(void)argc, (void)argv;
	pthread_t thread;
	static volatile pid_t waiting_;
	set_as_it_is("process", getpid());
	pthread_create(&thread, NULL, that_waits, (void *)&waiting_);
	while (waiting_ == 0)
		sched_yield();
	pthread_create(&thread, NULL, as_a_thread, (void *)&waiting_);
	pthread_join(thread, NULL);
	set_as_it_is("nobody", -1);
	pid_t child = fork();
	if (child == 0) {
		pause();
		_exit(0);
	}
	set_as_it_is("child", child);
	kill(child, SIGKILL);
	return 0;
}

/* shared_memory KEY: looks for a System V segment that somebody outside made. */
int shared_memory(int argc, char **argv)
{
	(void)argc;
	key_t key = (key_t)number(argv[0]);
	if (argc > 1) {
		int made = shmget(key, 4096, IPC_CREAT | IPC_EXCL | 0666);
		tell("make", made);
		fflush(stdout);
		getchar();
		shmctl(made, IPC_RMID, NULL);
		return 0;
	}
	tell("find", shmget(key, 4096, 0666));
	return 0;
}

/* terminal: types into it, or holds it, also with bits that only a 64-bit register has. */
int terminal(int argc, char **argv)
{
	(void)argc, (void)argv;
	tell("type", ioctl(0, TIOCSTI, "x"));
	tell("type-wide", syscall(SYS_ioctl, 0, 0x100000000UL | TIOCSTI, "x"));
	tell("paste", ioctl(0, TIOCLINUX, "\3"));
	int discipline = 0;
	tell("discipline", ioctl(0, TIOCSETD, &discipline));
	/* The guard, too, would wait for ever to say something there. */
	tell("hold", ioctl(0, TCXONC, TCOOFF));
	tell("hold-wide", syscall(SYS_ioctl, 0, 0x100000000UL | TCXONC, 0x100000000UL | TCOOFF));
	return 0;
}

static void live(const char *name)
{
	prctl(PR_SET_PDEATHSIG, 0);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	int file = open(name, O_CREAT | O_WRONLY | O_APPEND, 0644);
	for (;;) {
		if (write(file, ".", 1) < 0)
			_exit(1);
		usleep(5000);
	}
}

/* Forks twice, leaves the session, lets go of every output, and lives on writing into `name`. */
static void daemonise(const char *name)
{
	pid_t child = fork();
	if (child == 0) {
		setsid();
		if (fork() != 0)
			_exit(0);
		for (int i = 0; i < 3; i++)
			close(i);
		live(name);
	}
	waitpid(child, NULL, 0);
	struct stat written;
	while (stat(name, &written) < 0 || written.st_size == 0)
		usleep(1000);
}

/* daemons NAME: leaves one behind. */
int daemons(int argc, char **argv)
{
	(void)argc;
	daemonise(argv[0]);
	tell("daemon", 0);
	return 0;
}

/* stay NAME: leaves daemons behind, and lives itself. */
int stay(int argc, char **argv)
{
	(void)argc;
	char other[256];
	snprintf(other, sizeof other, "%s-other", argv[0]);
	daemonise(other);
	live(argv[0]);
	return 0;
}

/* devices DIRECTORY: makes and opens devices. */
int devices(int argc, char **argv)
{
	(void)argc;
	char path[4200];
	snprintf(path, sizeof path, "%s/disk", argv[0]);
	tell("make-block", mknod(path, S_IFBLK | 0666, makedev(254, 0)));
	snprintf(path, sizeof path, "%s/memory", argv[0]);
	tell("make-char", mknod(path, S_IFCHR | 0666, makedev(1, 1)));
	tell("open-memory", open("/dev/mem", O_RDONLY));
	tell("open-disk", open("/dev/vda", O_RDONLY));
	tell("open-kmsg", open("/dev/kmsg", O_RDONLY));
	tell("open-fuse", open("/dev/fuse", O_RDWR));
	tell("open-kvm", open("/dev/kvm", O_RDWR));
	tell("open-null", open("/dev/null", O_RDWR));
	return 0;
}
