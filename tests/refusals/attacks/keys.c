/* Keys of the kernel's that are kept for others. */
#include "attack.h"

enum { PROCESS = -2, SESSION = -3, USER = -4, USER_SESSION = -5 };
enum { GET_ID, JOIN, DESCRIBE = 6, LINK = 8, SEARCH = 10, READ, SET_PERM = 5, CHOWN = 4, SESSION_TO_PARENT = 18 };
enum { GET_PERSISTENT = 22, ASSUME = 16, INVALIDATE = 21, MOVE = 30 };

static char read_into[4096];

static long keyctl(int operation, long a, long b, long c, long d)
{
	return syscall(SYS_keyctl, operation, a, b, c, d);
}

#ifdef __x86_64__
/* The same by the numbers of another kind of program: read the key. */
static void by_other_numbers(long key)
{
	memset(read_into, 0, sizeof read_into);
	tell("x32-read", syscall(0x40000000 | SYS_keyctl, READ, key, read_into, sizeof read_into));
	pid_t child = fork();
	if (child == 0) {
		/* Below 4 GiB, where such a program has its memory. */
		void *low = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | 0x40, -1, 0);
		long result;
		__asm__ volatile("int $0x80"
				 : "=a"(result)
				 : "a"(288), "b"(READ), "c"(key), "d"(low), "S"(4096)
				 : "memory");
		if (result > 0)
			printf("read %.*s\n", (int)result, (char *)low);
		fflush(stdout);
		_exit(result > 0 ? 0 : 1);
	}
	int status;
	waitpid(child, &status, 0);
	printf("int80-read %s\n", WIFSIGNALED(status) ? "killed" : WEXITSTATUS(status) ? "refused" : "ok");
}
#endif

static void look_for(const char *file, const char *description)
{
	char *line = NULL;
	size_t room = 0;
	int found = 0;
	FILE *from = fopen(file, "r");
	while (from && getline(&line, &room, from) > 0)
		found |= strstr(line, description) != NULL;
	printf("%s %s\n", file, found ? "ok" : "absent");
}

/* keys DESCRIPTION KEY: every way to a key that is known by both. */
int keys(int argc, char **argv)
{
	(void)argc;
	const char *description = argv[0];
	long key = number(argv[1]);
	tell("read", keyctl(READ, key, (long)read_into, sizeof read_into, 0));
	tell("describe", keyctl(DESCRIBE, key, (long)read_into, sizeof read_into, 0));
	tell("search-user", keyctl(SEARCH, USER, (long)"user", (long)description, 0));
	tell("search-user-session", keyctl(SEARCH, USER_SESSION, (long)"user", (long)description, 0));
	tell("search-session", keyctl(SEARCH, SESSION, (long)"user", (long)description, 0));
	tell("link", keyctl(LINK, key, PROCESS, 0, 0));
	tell("link-user", keyctl(LINK, USER, PROCESS, 0, 0));
	tell("move", keyctl(MOVE, key, USER, PROCESS, 0));
	tell("permit", keyctl(SET_PERM, key, 0x3f3f3f3f, 0, 0));
	tell("chown", keyctl(CHOWN, key, getuid(), -1, 0));
	tell("persistent", keyctl(GET_PERSISTENT, -1, PROCESS, 0, 0));
	tell("join", keyctl(JOIN, 0, 0, 0, 0));
	tell("join-named", keyctl(JOIN, (long)"_ses", 0, 0, 0));
	tell("to-parent", keyctl(SESSION_TO_PARENT, 0, 0, 0, 0));
	tell("assume", keyctl(ASSUME, key, 0, 0, 0));
	tell("request", syscall(SYS_request_key, "user", description, NULL, SESSION));
	tell("request-called-out", syscall(SYS_request_key, "user", description, "x", SESSION));
	tell("replace", syscall(SYS_add_key, "user", description, "x", 1, USER));
	tell("read-again", keyctl(READ, key, (long)read_into, sizeof read_into, 0));
	printf("was-read %s\n", read_into[0] ? read_into : "nothing");
	look_for("/proc/keys", description);
	/* The user's, whose keys are counted there. */
	look_for("/proc/key-users", ":");
#ifdef __x86_64__
	by_other_numbers(key);
#endif
	return 0;
}

/* apart COMMAND...: runs a command with an empty keyring for its session, as a service has it. */
int apart(int argc, char **argv)
{
	(void)argc;
	if (keyctl(JOIN, 0, 0, 0, 0) < 0)
		perror("join");
	execvp(argv[0], argv);
	perror(argv[0]);
	return 127;
}

/* forget KEY: the kernel has it no more. */
int forget(int argc, char **argv)
{
	(void)argc;
	return keyctl(LINK, USER, PROCESS, 0, 0) || keyctl(INVALIDATE, number(argv[0]), 0, 0, 0);
}
