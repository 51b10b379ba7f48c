#include "attack.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>

/* Callers that wait in a connect, so that whoever connects for them holds a socket of each. */

#define SINGLE 8

static struct sockaddr_in full;
static int ends[2];

static int begin(int flags)
{
	int client = socket(AF_INET, SOCK_STREAM | flags, 0);
	return connect(client, (struct sockaddr *)&full, sizeof full);
}

static int fill_queue(void)
{
	socklen_t length = sizeof full;
	int server = socket(AF_INET, SOCK_STREAM, 0);
	full.sin_family = AF_INET;
	full.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(server, (struct sockaddr *)&full, sizeof full) < 0 || listen(server, 0) < 0)
		return -1;
	getsockname(server, (struct sockaddr *)&full, &length);
	for (int i = 0; i < 4; i++)
		begin(SOCK_NONBLOCK);
	return pipe(ends);
}

static void *wait_in_connect(void *unused)
{
	int told = begin(0) < 0 ? errno : 0;
	if (write(ends[1], &told, sizeof told) < 0)
		_exit(3);
	pause();
	return unused;
}

static pid_t wait_alone(void)
{
	pid_t child = fork();
	if (child == 0) {
		begin(0);
		_exit(0);
	}
	return child;
}

/* As many as there is room for. The error of the one for which there was none is told. */
static pid_t crowd_until_full(int *told)
{
	pid_t child = fork();
	if (child == 0) {
		pthread_attr_t small;
		pthread_t thread;
		pthread_attr_init(&small);
		pthread_attr_setstacksize(&small, 65536);
		for (int i = 0; i < 500; i++) {
			pthread_create(&thread, &small, wait_in_connect, NULL);
			/* Nobody tells that one waits. */
			usleep(5000);
		}
		pause();
	}
	if (read(ends[0], told, sizeof *told) < 0)
		_exit(3);
	return child;
}

/* starved OLD NEW: gives a file another name while hardly anything can be held besides, and reads it by that. It makes
 * `began`, waits for `go`, and opens nothing meanwhile. */
int starved(int argc, char **argv)
{
	pid_t alone[SINGLE];
	struct stat found;
	int told = 0, made = -1;
	if (argc < 2 || fill_queue() < 0)
		return 3;
	for (int i = 0; i < SINGLE; i++)
		alone[i] = wait_alone();
	mkdir("began", 0755);
	while (stat("go", &found) < 0)
		usleep(10000);
	pid_t crowd = crowd_until_full(&told);
	for (int i = 0; i < SINGLE && made < 0; i++) {
		for (int j = 0; j < 100 && made < 0; j++) {
			made = link(argv[0], argv[1]);
			usleep(5000);
		}
		kill(alone[i], SIGKILL);
	}
	errno = EACCES;
	tell("linked", made);
	kill(crowd, SIGKILL);
	waitpid(crowd, NULL, 0);
	errno = told;
	tell("full", told ? -1 : 0);
	/* It is seen at the next look that they are gone. */
	sleep(1);
	tell("read", open(argv[1], O_RDONLY));
	tell("works", open("made", O_WRONLY | O_CREAT, 0644));
	return 0;
}
