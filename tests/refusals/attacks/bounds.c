/* As much as there is: processes, memory, files in memory. */
#include "attack.h"
#include <linux/aio_abi.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <time.h>

/* bomb MARK: processes until there are no more, all of them alive for a while. */
int bomb(int argc, char **argv)
{
	(void)argc;
	long made = 0;
	int error = 0;
	pid_t own = getpid();
	for (; made < 100000; made++) {
		pid_t child = fork();
		if (child == 0) {
			while (getppid() == own)
				usleep(100000);
			_exit(0);
		}
		if (child < 0) {
			error = errno;
			break;
		}
	}
	/* There they are: whoever looks from outside can. */
	close(open(argv[0], O_CREAT | O_WRONLY, 0644));
	usleep(1500000);
	printf("made %ld\n", made);
	errno = error;
	tell("last", error ? -1 : 0);
	return 0;
}

static void touch(size_t bytes, int kind)
{
	const size_t step = 1 << 20;
	for (size_t done = 0; done < bytes; done += step) {
		char *some = mmap(NULL, step, PROT_READ | PROT_WRITE, kind | MAP_ANONYMOUS, -1, 0);
		if (some == MAP_FAILED)
			_exit(errno == ENOMEM ? 12 : 1);
		memset(some, 1, step);
	}
	_exit(0);
}

static void try_to_touch(const char *what, size_t bytes, int kind)
{
	int status;
	pid_t child = fork();
	if (child == 0)
		touch(bytes, kind);
	waitpid(child, &status, 0);
	if (WIFSIGNALED(status))
		printf("%s signal-%d\n", what, WTERMSIG(status));
	else
		printf("%s %s\n", what, WEXITSTATUS(status) == 0 ? "ok" : WEXITSTATUS(status) == 12 ? "ENOMEM" : "failed");
	fflush(stdout);
}

/* hog SMALL LARGE: memory of one's own, and memory that could be shared. */
int hog(int argc, char **argv)
{
	(void)argc;
	try_to_touch("private", (size_t)number(argv[1]), MAP_PRIVATE);
	try_to_touch("shared", (size_t)number(argv[1]), MAP_SHARED);
	try_to_touch("neighbour", (size_t)number(argv[0]), MAP_PRIVATE);
	return 0;
}

/* fill_up FILE...: each until there is no room. */
int fill_up(int argc, char **argv)
{
	static char block[1 << 16];
	for (int i = 0; i < argc; i++) {
		int file = open(argv[i], O_CREAT | O_WRONLY, 0644);
		long total = 0, written;
		while ((written = write(file, block, sizeof block)) > 0 && total < 1L << 30)
			total += written;
		printf("%s %s\n", argv[i], written < 0 && errno == ENOSPC ? "full" : "endless");
		printf("%s-bytes %ld\n", argv[i], total);
	}
	/* It is looked at ten times a second, and later on a busy machine; nothing tells when it was. */
	usleep(2000000);
	for (int i = 0; i < argc; i++)
		unlink(argv[i]);
	return 0;
}

static long make_new(const char *path)
{
	return open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
}

/* no_number: makes files with no number left for a descriptor, and with one below the last that is open. */
int no_number(int argc, char **argv)
{
	struct rlimit before, now;
	(void)argc, (void)argv;
	int next = dup(0), far = dup2(0, next + 8);
	close(next);
	getrlimit(RLIMIT_NOFILE, &before);
	now = before;
	now.rlim_cur = (rlim_t)next;
	setrlimit(RLIMIT_NOFILE, &now);
	tell("none-left", make_new("none-left"));
	tell("none-left-to-open", open("attack", O_RDONLY | O_CREAT | O_CLOEXEC, 0644));
	tell("neighbour-directory", mkdir("neighbour-directory", 0755));
	now.rlim_cur = (rlim_t)next + 1;
	setrlimit(RLIMIT_NOFILE, &now);
	tell("neighbour-one-left", make_new("one-left"));
	setrlimit(RLIMIT_NOFILE, &before);
	tell("neighbour-again", make_new("none-left"));
	close(far);
	return 0;
}

/* no_space DIRECTORY: fills a small file system, and makes names there. */
int no_space(int argc, char **argv)
{
	static char bytes[4096], target[1024];
	(void)argc;
	if (chdir(argv[0]))
		return 1;
	memset(target, 'x', sizeof target - 1);
	int file = (int)make_new("filler");
	while (write(file, bytes, sizeof bytes) > 0)
		;
	tell("write", -1);
	int more = (int)make_new("more");
	tell("more", more);
	tell("write-more", write(more, bytes, sizeof bytes));
	tell("link", symlink(target, "link"));
	tell("neighbour-name", rename("more", "other"));
	close(file);
	unlink("filler");
	tell("neighbour-link", symlink(target, "link"));
	return 0;
}

static long queue_signal(void)
{
	sigset_t blocked;
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGRTMIN);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	return sigqueue(getpid(), SIGRTMIN, (union sigval){ .sival_int = 1 });
}

static long open_terminal(void)
{
	return open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
}

static long watch_files(void)
{
	return inotify_init1(IN_CLOEXEC);
}

static long take_requests(void)
{
	/* As many as there are by default, in one half. */
	aio_context_t context = 0;
	return syscall(SYS_io_setup, 16384, &context);
}

static const struct {
	const char *name;
	long (*take)(void);
} common[] = {
	{ "signals", queue_signal },
	{ "terminals", open_terminal },
	{ "watches", watch_files },
	{ "requests", take_requests },
};

/* take_common MARK: as much as there is of what others use as well, kept until whoever looks is gone. */
int take_common(int argc, char **argv)
{
	(void)argc;
	for (size_t at = 0; at < sizeof common / sizeof *common; at++) {
		long taken = 0;
		while (taken < 1000000 && common[at].take() >= 0)
			taken++;
		printf("%s %ld\n", common[at].name, taken);
	}
	fflush(stdout);
	int mark = open(argv[0], O_CREAT | O_WRONLY, 0644);
	tell("marked", mark);
	close(mark);
	/* Whoever looked takes the mark away. */
	while (access(argv[0], F_OK) == 0)
		usleep(10000);
	return 0;
}

/* left_common: whether there is one of each left, and a timer, which counts as a signal. */
int left_common(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	timer_t timer;
	tell("timer", timer_create(CLOCK_MONOTONIC, NULL, &timer));
	for (size_t at = 0; at < sizeof common / sizeof *common; at++)
		tell(common[at].name, common[at].take());
	return 0;
}
