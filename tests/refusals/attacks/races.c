/* What was judged is changed before it is executed. */
#include "attack.h"
#include <pthread.h>

/* mark WORD: what a race tries to run; it leaves behind as what it ran. */
int mark(int argc, char **argv)
{
	char self[4096] = { 0 }, path[512];
	if (argc < 1 || readlink("/proc/self/exe", self, sizeof self - 1) < 0)
		return 1;
	snprintf(path, sizeof path, "marks/%.16s-%.16s%s", argv[0], strrchr(self, '/') + 1,
		 getenv("LD_PRELOAD") ? "-evil" : "");
	int file = open(path, O_CREAT | O_WRONLY | O_APPEND, 0644);
	return write(file, ".", 1) == 1 ? 0 : 1;
}

#define SHORT 16
struct shared {
	volatile char word[SHORT];
	volatile char path[SHORT];
	char *volatile words[4];
	char *volatile variables[3];
	volatile int over;
};

static struct shared *shared;
static const char *kind;

static void put(volatile char *to, const char *from)
{
	for (int i = 0; i < SHORT; i++) {
		to[i] = from[i];
		if (from[i] == 0)
			break;
	}
}

static int is(const char *name)
{
	return strcmp(kind, name) == 0;
}

/* Turns the innocent into the forbidden and back, for as long as it can. */
static void flip(int forbidden)
{
	static char evil[] = "evil", good[] = "good", safe[] = "SAFE=1", preload[] = "LD_PRELOAD=./x.so";
	if (is("argv") || is("shared"))
		put(shared->word, forbidden ? "evil" : "good");
	if (is("pointer"))
		shared->words[2] = forbidden ? evil : good;
	if (is("path"))
		put(shared->path, forbidden ? "./evil" : "./good");
	if (is("variable"))
		shared->variables[0] = forbidden ? preload : safe;
	if (is("symlink")) {
		symlink(forbidden ? "evil" : "good", "next");
		rename("next", "link");
	}
}

static void *flipping(void *unused)
{
	for (int i = 0; !shared->over; i++) {
		flip(i & 1);
		for (volatile int spin = 0; spin < (i * 37) % 4000; spin++)
			;
	}
	return unused;
}

static void *other_thread(void *unused)
{
	char *const *words = (char *const *)shared->words, *const *variables = (char *const *)shared->variables;
	execve((const char *)shared->path, words, variables);
	_exit(unused == NULL ? 9 : 9);
}

/* One try, in a process of its own: by its only thread, or by a second one while the first flips. */
static void try(void)
{
	pthread_t thread;
	int by_thread = is("argv") || is("pointer") || is("path") || is("variable");
	pid_t child = fork();
	if (child == 0) {
		if (by_thread)
			pthread_create(&thread, NULL, flipping, NULL);
		char *const *words = (char *const *)shared->words;
		char *const *variables = (char *const *)shared->variables;
		if (is("pointer")) {
			pthread_t second;
			pthread_create(&second, NULL, other_thread, NULL);
			pause();
		}
		execve((const char *)shared->path, words, variables);
		_exit(9);
	}
	waitpid(child, NULL, 0);
}

/* race KIND TRIES: `good` may run, `evil` may not. */
int race(int argc, char **argv)
{
	static char mark_[] = "mark";
	(void)argc;
	kind = argv[0];
	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	shared->words[0] = mark_;
	shared->words[1] = mark_;
	shared->words[2] = (char *)shared->word;
	shared->variables[0] = "SAFE=1";
	put(shared->word, "good");
	put(shared->path, is("symlink") ? "./link" : "./good");
	flip(0);
	pid_t flipper = 0;
	if (is("shared") || is("symlink")) {
		flipper = fork();
		if (flipper == 0) {
			flipping(NULL);
			_exit(0);
		}
	}
	for (long i = 0; i < number(argv[1]); i++)
		try();
	shared->over = 1;
	if (flipper > 0)
		waitpid(flipper, NULL, 0);
	tell("race", 0);
	return 0;
}
