/* Programs that were not judged, or not as what they are. */
#include "attack.h"
#include <poll.h>
#include <sys/resource.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* say TEXT: what an attack runs, to show that it ran. */
int say(int argc, char **argv)
{
	printf("said %s\n", argc > 0 ? argv[0] : "nothing");
	return 0;
}

/* rise: to be root. */
int rise(int argc, char **argv)
{
	(void)argc, (void)argv;
	tell("setuid", setuid(0));
	tell("setgid", setgid(0));
	tell("setresuid", setresuid(0, 0, 0));
	return 0;
}

/* run PROGRAM ARGUMENT...: plain execve, with no shell that looks first. */
int run(int argc, char **argv)
{
	(void)argc;
	tell_exec("run", argv[0], argv, environ);
	return 0;
}

static int copy_into(int to, const char *from)
{
	char buffer[65536];
	long length;
	int file = open(from, O_RDONLY);
	if (file < 0)
		return -1;
	while ((length = read(file, buffer, sizeof buffer)) > 0)
		if (write(to, buffer, (size_t)length) != length)
			return -1;
	close(file);
	return 0;
}

/* memory PROGRAM: runs a copy that has no file. */
int memory(int argc, char **argv)
{
	(void)argc;
	char *words[] = { "memory", "say", "from-memory", NULL };
	char path[64];
	int file = (int)syscall(SYS_memfd_create, "x", 0);
	if (copy_into(file, argv[0]) < 0)
		return 1;
	snprintf(path, sizeof path, "/proc/self/fd/%d", file);
	tell_exec("by-path", path, words, environ);
	pid_t child = fork();
	if (child == 0) {
		tell("by-descriptor", syscall(SYS_execveat, file, "", words, environ, AT_EMPTY_PATH));
		_exit(0);
	}
	waitpid(child, NULL, 0);
	return 0;
}

/* deleted PROGRAM: runs a copy whose file is gone. */
int deleted(int argc, char **argv)
{
	(void)argc;
	char *words[] = { "deleted", "say", "from-nowhere", NULL };
	int file = open("gone", O_CREAT | O_WRONLY, 0755);
	if (copy_into(file, argv[0]) < 0)
		return 1;
	close(file);
	file = open("gone", O_RDONLY | O_CLOEXEC);
	unlink("gone");
	pid_t child = fork();
	if (child == 0) {
		tell("deleted", syscall(SYS_execveat, file, "", words, environ, AT_EMPTY_PATH));
		_exit(0);
	}
	waitpid(child, NULL, 0);
	return 0;
}

/* by_descriptor PROGRAM DIRECTORY NAME: with no path, and with a path that begins elsewhere. */
int by_descriptor(int argc, char **argv)
{
	(void)argc;
	char *words[] = { argv[0], "--help", NULL };
	int file = open(argv[0], O_PATH | O_CLOEXEC);
	int directory = open(argv[1], O_PATH | O_CLOEXEC);
	tell("open", file);
	for (int i = 0; i < 2; i++) {
		pid_t child = fork();
		if (child == 0) {
			long result = i == 0 ?
					      syscall(SYS_execveat, file, "", words, environ, AT_EMPTY_PATH) :
					      syscall(SYS_execveat, directory, argv[2], words, environ, 0);
			tell(i == 0 ? "empty-path" : "relative", result);
			_exit(0);
		}
		waitpid(child, NULL, 0);
	}
	return 0;
}

/* environment VARIABLE PROGRAM ARGUMENT...: with one more variable. */
int environment(int argc, char **argv)
{
	(void)argc;
	char *variables[] = { argv[0], "PATH=/usr/bin:/bin", NULL };
	tell_exec("environment", argv[1], argv + 1, variables);
	return 0;
}

/* Executes a refused program with `ours` as standard error, and shows what comes out of `theirs`. */
static void explain(const char *what, int ours, int theirs, char **argv)
{
	char text[4096] = { 0 };
	pid_t child = fork();
	if (child == 0) {
		dup2(ours, 2);
		execv(argv[0], argv);
		_exit(0);
	}
	waitpid(child, NULL, 0);
	fcntl(theirs, F_SETFL, O_NONBLOCK);
	/* A terminal is written to by a thread aside, which may come to it a moment later. */
	struct pollfd told = { .fd = theirs, .events = POLLIN };
	poll(&told, 1, 5000);
	long length = lseek(theirs, 0, SEEK_SET) == 0 ? pread(theirs, text, sizeof text - 1, 0) :
							read(theirs, text, sizeof text - 1);
	printf("%s %s\n", what, length > 0 && strstr(text, "agentguard: refused: ") ? "told" : "silent");
	fflush(stdout);
	usleep(1050000); /* said once a second for each program */
}

/* explained PROGRAM: standard error as a pipe, a file, a socket, a terminal. */
int explained(int argc, char **argv)
{
	(void)argc;
	int ends[2];
	if (pipe(ends) == 0)
		explain("pipe", ends[1], ends[0], argv);
	int file = open("stderr", O_CREAT | O_RDWR | O_TRUNC, 0644);
	explain("file", file, file, argv);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0)
		explain("socket", ends[1], ends[0], argv);
	int ours = posix_openpt(O_RDWR | O_NOCTTY);
	if (ours >= 0 && grantpt(ours) == 0 && unlockpt(ours) == 0)
		explain("terminal", open(ptsname(ours), O_RDWR | O_NOCTTY), ours, argv);
	return 0;
}

/* spawned PROGRAM: starts it as libraries do, which learn by a pipe that closes itself whether that failed. */
int spawned(int argc, char **argv)
{
	(void)argc;
	int outputs[2], failure[2], errno_of_child = 0, status = 0;
	char text[4096] = { 0 };
	if (pipe(outputs) || pipe2(failure, O_CLOEXEC))
		return 1;
	pid_t child = fork();
	if (child == 0) {
		dup2(outputs[1], 1);
		dup2(outputs[1], 2);
		close(outputs[0]);
		close(outputs[1]);
		execv(argv[0], argv);
		errno_of_child = errno;
		_exit(write(failure[1], &errno_of_child, sizeof errno_of_child) < 0);
	}
	close(outputs[1]);
	close(failure[1]);
	printf("start %s\n", read(failure[0], &errno_of_child, sizeof errno_of_child) > 0 ? "failed" : "succeeded");
	long length = 0, more;
	while ((more = read(outputs[0], text + length, sizeof text - 1 - length)) > 0)
		length += more;
	waitpid(child, &status, 0);
	printf("end %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
	printf("reason %s\n", strstr(text, "agentguard: refused: ") ? "told" : "silent");
	char *last = strrchr(text, '\n');
	printf("program %s\n", last && last[1] == 0 && strstr(text, "entry") ? "silent" : "spoke");
	return 0;
}

/* Executes a refused program with `end` as standard error, which takes nothing more and blocks. */
static void fill(int end, char **argv)
{
	char block[4096] = { 0 };
	fcntl(end, F_SETFL, O_NONBLOCK);
	while (write(end, block, sizeof block) > 0)
		;
	while (write(end, block, 1) > 0)
		;
	fcntl(end, F_SETFL, 0);
	pid_t child = fork();
	if (child == 0) {
		dup2(end, 2);
		tell("refused", execv(argv[0], argv));
		_exit(0);
	}
	waitpid(child, NULL, 0);
}

/* full_outputs PROGRAM: standard error is a pipe, then a socket, that nobody reads. */
int full_outputs(int argc, char **argv)
{
	(void)argc;
	int ends[2];
	if (pipe(ends) < 0)
		return 1;
	fill(ends[1], argv);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0)
		return 1;
	fill(ends[1], argv);
	return 0;
}

/* fifo: nobody writes into it; more callers than anybody has workers. */
int fifo(int argc, char **argv)
{
	(void)argc, (void)argv;
	char *words[] = { "fifo", NULL };
	if (mkfifo("fifo", 0755) < 0)
		return 1;
	int file = open("fifo", O_PATH | O_CLOEXEC);
	for (int i = 0; i < 4; i++)
		if (fork() == 0) {
			tell("fifo", syscall(SYS_execveat, file, "", words, environ, AT_EMPTY_PATH));
			_exit(0);
		}
	while (wait(NULL) > 0)
		;
	return 0;
}

/* most_arguments PROGRAM: as long as may be, of bytes that grow when they are written down; then longer. */
int most_arguments(int argc, char **argv)
{
	enum { COUNT = 46, LENGTH = 130900 };
	char *words[COUNT + 1] = { argv[0] }, *variables[COUNT + 1] = { 0 };
	struct rlimit most = { RLIM_INFINITY, RLIM_INFINITY };
	(void)argc;
	setrlimit(RLIMIT_STACK, &most);
	for (int i = 0; i < COUNT; i++) {
		variables[i] = malloc(LENGTH + 1);
		memset(variables[i], 1, LENGTH);
		variables[i][LENGTH] = 0;
		words[i] = i == 0 ? argv[0] : variables[i];
	}
	char *none[] = { NULL };
	tell_exec("most", argv[0], words, none);
	for (int i = 0; i < COUNT; i++) {
		char name[16];
		int length = snprintf(name, sizeof name, "LD_%d=", i);
		memcpy(variables[i], name, (size_t)length);
	}
	words[1] = NULL;
	tell_exec("most-variables", argv[0], words, variables);
	return 0;
}

/* no_program PROGRAM: calls that name none, or with more than may be. */
int no_program(int argc, char **argv)
{
	enum { LONG = 200 << 10, COUNT = 80, LARGE = 100 << 10 };
	char *words[] = { argv[0], NULL, NULL }, *many[COUNT + 1] = { argv[0] }, *none[] = { NULL };
	char *text = malloc(LONG + 1);
	void *volatile nowhere = (void *)8;
	(void)argc;
	memset(text, 'x', LONG);
	text[LONG] = 0;
	tell_exec("no-path", "", words, none);
	tell_exec("path-nowhere", nowhere, words, none);
	tell_exec("longest-path", text, words, none);
	text[5000] = 0;
	tell_exec("long-path", text, words, none);
	text[5000] = 'x';
	words[1] = text;
	tell_exec("long-word", argv[0], words, none);
	words[1] = nowhere;
	tell_exec("word-nowhere", argv[0], words, none);
	tell_exec("words-nowhere", argv[0], nowhere, none);
	words[1] = NULL;
	tell_exec("variables-nowhere", argv[0], words, nowhere);
	for (int i = 1; i < COUNT; i++)
		many[i] = text + LONG - LARGE;
	tell_exec("many-words", argv[0], many, none);
	return 0;
}

/* Executes what a path leads to from a descriptor. */
static void tell_exec_at(const char *what, int at, const char *path, int flags)
{
	char *words[] = { (char *)path, NULL };
	pid_t child = fork();
	if (child == 0) {
		tell(what, syscall(SYS_execveat, at, path, words, environ, flags));
		_exit(0);
	}
	waitpid(child, NULL, 0);
}

/* Executes a script whose first line is `before` blanks, then a path of this length to PROGRAM, then `after`. */
static void tell_script(const char *what, int before, int length, const char *program, const char *after)
{
	char line[1024] = "#!", *words[] = { "./script", NULL };
	int slashes = length - (int)strlen(program);
	memset(line + 2, ' ', before);
	memset(line + 2 + before, '/', slashes);
	strcpy(line + 2 + before + slashes, program);
	strcat(line, after);
	int file = open("script", O_CREAT | O_TRUNC | O_WRONLY, 0755);
	if (write(file, line, strlen(line)) < 0)
		return;
	close(file);
	tell_exec(what, "./script", words, environ);
}

/* odd_program PROGRAM: paths and first lines that lead nowhere, and those that lead to it by the caller's own /proc. */
int odd_program(int argc, char **argv)
{
	(void)argc;
	char *words[] = { argv[0], NULL };
	char *paths[] = {
		"round", "round/x", "/proc/self/cwd/round", "/proc/self/cwd/none", "/proc/self/none", "/proc/self/cwd",
		"/proc/self/cwd/link", "/proc/self/cwd/script/x", "/proc/thread-self/cwd/program", "/proc/self/cwd/program",
	};
	int file = open("/", O_RDONLY), directory = open(".", O_PATH);
	if (symlink("round", "round") < 0 || symlink(argv[0], "link") < 0 || symlink(argv[0], "program") < 0)
		return 1;
	close(file);
	tell_exec_at("closed", file, "x", 0);
	tell_exec_at("closed-itself", file, "", AT_EMPTY_PATH);
	tell_exec_at("negative", -7, "x", 0);
	tell_exec_at("negative-itself", -7, "", AT_EMPTY_PATH);
	tell_exec_at("closed-but-absolute", file, "/none", 0);
	tell_exec_at("not-followed", directory, "link", AT_SYMLINK_NOFOLLOW);
	tell_exec_at("link-that-is-held", open("link", O_PATH | O_NOFOLLOW), "", AT_EMPTY_PATH);
	tell_script("first-line-longest", 0, 253, argv[0], "\nx");
	tell_script("first-line-ends-by-a-blank", 0, 253, argv[0], " x\n");
	tell_script("first-line-too-long", 0, 254, argv[0], "\nx");
	tell_script("first-line-much-too-long", 0, 300, argv[0], "\nx");
	tell_script("first-line-begins-late", 200, 60, argv[0], "\nx");
	tell_script("first-line-begins-never", 300, 60, argv[0], "\nx");
	tell_script("first-line-is-all", 0, 254, argv[0], "");
	tell_script("first-line-is-all-and-short", 0, 60, argv[0], "");
	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
		tell_exec(paths[i], paths[i], words, environ);
	return 0;
}

/* full_terminal PROGRAM: standard error is a terminal of our own, which takes a few bytes more and no line. */
int full_terminal(int argc, char **argv)
{
	(void)argc;
	static char longer[6001];
	char block[64] = { 0 };
	memset(longer, 'x', sizeof longer - 1);
	char *words[] = { argv[0], longer, NULL };
	for (int i = 0; i < 4; i++) {
		int ours = posix_openpt(O_RDWR | O_NOCTTY);
		if (ours < 0 || grantpt(ours) < 0 || unlockpt(ours) < 0)
			return 1;
		int theirs = open(ptsname(ours), O_RDWR | O_NOCTTY | O_NONBLOCK);
		struct pollfd ready = { theirs, POLLOUT, 0 };
		while (write(theirs, block, sizeof block) > 0)
			;
		while (poll(&ready, 1, 10) == 0)
			if (read(ours, block, sizeof block) <= 0)
				return 1;
		fcntl(theirs, F_SETFL, 0);
		if (fork() == 0) {
			dup2(theirs, 2);
			execv(words[0], words);
			_exit(errno == EACCES ? 0 : 1);
		}
	}
	for (int i = 0; i < 4; i++) {
		int status = -1;
		wait(&status);
		printf("refused%d %s\n", i, status == 0 ? "EACCES" : "otherwise");
	}
	return 0;
}
