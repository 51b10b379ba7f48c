/* Programs that make an exec hard to follow: signals, threads, a tracer, a memory that is closed. */
#include "attack.h"
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/time.h>

/* closed PROGRAM ARGUMENT...: by a caller that nobody of its own rights may read. */
int closed(int argc, char **argv)
{
	(void)argc;
	pid_t child = fork();
	if (child == 0) {
		prctl(PR_SET_DUMPABLE, 0);
		execve(argv[0], argv, environ);
		tell("closed", -1);
		_exit(0);
	}
	waitpid(child, NULL, 0);
	return 0;
}

/* remap PROGRAM: turns its last bit by a store into memory. On a tmpfs only the first store into a page moves a
 * stamp. As long as it is mapped it cannot be executed, but it is looked at. */
int remap(int argc, char **argv)
{
	(void)argc;
	char *words[] = { argv[0], NULL };
	struct stat before, after;
	int file = open(argv[0], O_RDWR);
	if (file < 0 || fstat(file, &before) < 0)
		return 1;
	long page = sysconf(_SC_PAGESIZE), start = (before.st_size - 1) / page * page;
	char *bytes = mmap(NULL, (size_t)page, PROT_READ | PROT_WRITE, MAP_SHARED, file, start);
	if (bytes == MAP_FAILED)
		return 1;
	volatile char *last = bytes + (before.st_size - 1 - start);
	*last = *last;
	fstat(file, &before);
	usleep(2100000); /* what changed just now is not remembered by anybody careful */
	tell_exec("mapped", argv[0], words, environ);
	*last ^= 1;
	munmap(bytes, (size_t)page);
	fstat(file, &after);
	close(file);
	int is_same = before.st_ctim.tv_sec == after.st_ctim.tv_sec && before.st_ctim.tv_nsec == after.st_ctim.tv_nsec;
	printf("stamp %s\n", is_same ? "same" : "moved");
	return 0;
}

static void note(int signal)
{
	(void)signal;
}

/* Executes what the kernel will not, again and again, while a timer and another process interrupt it. */
static void fail_often(char **argv, long tries)
{
	struct sigaction action = { .sa_handler = note, .sa_flags = SA_RESTART };
	struct itimerval often = { { 0, 100 }, { 0, 100 } };
	long other = 0;

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	for (long i = 0; i < tries; i++)
		if (execve(argv[0], argv, environ) == 0 || errno != ENOEXEC) {
			other++;
			tell("other", -1);
		}
	setitimer(ITIMER_REAL, &(struct itimerval){ 0 }, NULL);
	_exit(other > 0);
}

/* storm PROGRAM TRIES: by more processes than anybody has workers, which are stopped now and then. */
int storm(int argc, char **argv)
{
	enum { PROCESSES = 4 };
	pid_t children[PROCESSES];
	char *words[] = { argv[0], NULL };
	int status, failed = 0;
	(void)argc;
	for (int i = 0; i < PROCESSES; i++) {
		children[i] = fork();
		if (children[i] == 0)
			fail_often(words, number(argv[1]));
	}
	for (int i = 0; i < 50; i++) {
		kill(children[i % PROCESSES], SIGSTOP);
		usleep(1000);
		kill(children[i % PROCESSES], SIGCONT);
	}
	for (int i = 0; i < PROCESSES; i++) {
		waitpid(children[i], &status, 0);
		failed |= status;
	}
	printf("storm %s\n", failed ? "otherwise" : "ENOEXEC");
	return 0;
}

/* again PROGRAM TRIES: executes what the kernel will not, one time after another, once it is told to go on. */
int again(int argc, char **argv)
{
	char *words[] = { argv[0], NULL };
	(void)argc;
	close(open("ready", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
	while (access("go", F_OK))
		usleep(1000);
	for (long i = number(argv[1]); i > 0; i--)
		if (execve(argv[0], words, environ) == 0 || errno != ENOEXEC) {
			tell("again", -1);
			return 0;
		}
	errno = ENOEXEC;
	tell("again", -1);
	return 0;
}

/* one_processor PROGRAM ARGUMENT...: and all that it starts, on one. Run without us. */
int one_processor(int argc, char **argv)
{
	cpu_set_t all, one;
	(void)argc;
	if (sched_getaffinity(0, sizeof all, &all))
		return 2;
	CPU_ZERO(&one);
	for (int i = 0; i < CPU_SETSIZE && !CPU_COUNT(&one); i++)
		if (CPU_ISSET(i, &all))
			CPU_SET(i, &one);
	if (sched_setaffinity(0, sizeof one, &one))
		return 2;
	execv(argv[0], argv);
	return 127;
}

/* last THREAD: has it run only where nobody else wants to (SCHED_IDLE). Run without us. */
int last(int argc, char **argv)
{
	struct sched_param none = { 0 };
	(void)argc;
	tell("last", sched_setscheduler((pid_t)number(argv[0]), SCHED_IDLE, &none));
	return 0;
}

static pthread_barrier_t start;
static char **crowded;

static void *execute(void *nothing)
{
	pthread_barrier_wait(&start);
	execve(crowded[0], crowded, environ);
	return nothing;
}

/* crowd TRIES PROGRAM ARGUMENT...: four threads that replace their process all at once. */
int crowd(int argc, char **argv)
{
	enum { THREADS = 4 };
	long ended = 0, tries = number(argv[0]);
	int status;
	(void)argc;
	crowded = argv + 1;
	for (long i = 0; i < tries; i++) {
		if (fork() == 0) {
			pthread_t thread;
			pthread_barrier_init(&start, NULL, THREADS);
			for (int j = 1; j < THREADS; j++)
				pthread_create(&thread, NULL, execute, NULL);
			execute(NULL);
			pause();
		}
		ended += wait(&status) > 0 && status == 0;
	}
	printf("crowd %s\n", ended == tries ? "ok" : "otherwise");
	return 0;
}

static long so_many;
static pthread_barrier_t begun;

/* Starts it in a child, again and again: until its process is replaced, or as often as it was asked to. */
static void *spawn(void *times)
{
	long left = times ? *(long *)times : -1;
	int status;

	pthread_barrier_wait(&begun);
	while (left-- != 0) {
		pid_t child = left % 2 ? fork() : vfork();
		if (child == 0) {
			execve(crowded[0], crowded, environ);
			_exit(98);
		}
		if (child < 0 || waitpid(child, &status, 0) != child || status)
			_exit(97);
		__atomic_add_fetch(&so_many, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void *replace(void *nothing)
{
	pthread_barrier_wait(&start);
	execve(crowded[0], crowded, environ);
	tell("replaced", -1);
	_exit(96);
	return nothing;
}

/* Three threads start programs; once two are done, one that is not the first replaces them all in the midst of it. */
static void many_ways(long times)
{
	enum { THREADS = 3 };
	pthread_t threads[THREADS];

	pthread_barrier_init(&begun, NULL, THREADS);
	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, spawn, i < THREADS - 1 ? &times : NULL);
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	pthread_barrier_init(&start, NULL, 2);
	pthread_create(&threads[0], NULL, replace, NULL);
	pthread_barrier_wait(&start);
	pause();
}

/* mixture PROCESSES TIMES PROGRAM ARGUMENT...: each process starts it at least so often, and ends as it. */
int mixture(int argc, char **argv)
{
	long processes = number(argv[0]), ended = 0;
	int status;
	(void)argc;

	crowded = argv + 2;
	for (long i = 0; i < processes; i++)
		if (fork() == 0)
			many_ways(number(argv[1]) / 2);
	while (wait(&status) > 0) {
		ended += status == 0;
		if (status)
			printf("status %d\n", status);
	}
	printf("mixture %s\n", ended == processes ? "ok" : "otherwise");
	return 0;
}

/* traced PROGRAM ARGUMENT...: with everything it starts, and answers as it does. Run without us. */
int traced(int argc, char **argv)
{
	long follow = PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL;
	int status, code = 1;
	(void)argc;
	pid_t child = fork();
	if (child == 0) {
		raise(SIGSTOP);
		execv(argv[0], argv);
		_exit(99);
	}
	waitpid(child, NULL, WUNTRACED);
	if (ptrace(PTRACE_SEIZE, child, 0, follow) || kill(child, SIGCONT))
		return 98;
	for (pid_t one; (one = waitpid(-1, &status, __WALL)) > 0;) {
		if (one == child && WIFEXITED(status))
			code = WEXITSTATUS(status);
		if (!WIFSTOPPED(status))
			continue;
		int is_event = status >> 16 != 0, signal = WSTOPSIG(status);
		ptrace(PTRACE_CONT, one, 0, is_event ? 0 : signal);
	}
	return code;
}
