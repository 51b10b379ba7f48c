/* As much as there is: processes, memory, files in memory. */
#include "attack.h"

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
	usleep(300000);
	for (int i = 0; i < argc; i++)
		unlink(argv[i]);
	return 0;
}
