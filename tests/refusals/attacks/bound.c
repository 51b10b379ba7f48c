/* Names of unix sockets. The current directory is the workspace: in `a` to `f` there is all that git looks for in a
 * repository but `objects`, of which it asks only whether it could be gone to. */
#include "attack.h"
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

static long bind_to(int socket_, const char *path, struct sockaddr_un *address)
{
	memset(address, 0, sizeof *address);
	address->sun_family = AF_UNIX;
	if (strlen(path) >= sizeof address->sun_path)
		return -1;
	strcpy(address->sun_path, path);
	return bind(socket_, (struct sockaddr *)address, sizeof *address);
}

static long bound(const char *path)
{
	struct sockaddr_un address;
	int socket_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	long made = bind_to(socket_, path, &address);
	int error = errno;
	close(socket_);
	if (made == 0)
		chmod(path, 0777);
	errno = error;
	return made;
}

/* Whether who is connected to it is told the path that it was bound to, and it is there with the mask's mode. */
static long told(const char *path)
{
	struct sockaddr_un address, name = { 0 };
	struct stat is;
	socklen_t length = sizeof name;
	int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind_to(server, path, &address) != 0 || listen(server, 1) != 0)
		return -1;
	if (getsockname(server, (struct sockaddr *)&name, &length) != 0 || strcmp(name.sun_path, path) != 0)
		return errno = EIO, -1;
	if (stat(path, &is) != 0 || !S_ISSOCK(is.st_mode) || (is.st_mode & 0777) != 0711)
		return errno = EIO, -1;
	return connect(client, (struct sockaddr *)&address, sizeof address);
}

static int is_over;

static void *swap(void *unused)
{
	while (!__atomic_load_n(&is_over, __ATOMIC_SEQ_CST))
		syscall(SYS_renameat2, AT_FDCWD, "swapped", AT_FDCWD, "link", 2 /* RENAME_EXCHANGE */);
	return unused;
}

int bind_names(int argc, char **argv)
{
	char path[4096], here[2048];
	(void)argv;
	if (getcwd(here, sizeof here) == NULL)
		return 1;
	tell("directory", mkdir("a/objects", 0755));
	tell("relative", bound("a/objects"));
	snprintf(path, sizeof path, "%s/b/objects", here);
	tell("absolute", bound(path));
	tell("through-link", symlink("c", "to-c") == 0 ? bound("to-c/objects") : 0);
	tell("through-proc", bound("/proc/self/cwd/d/objects"));
	tell("dots", bound("a/../e/./objects"));
	tell("inside", chdir("f") == 0 ? bound("objects") : 0);
	tell("case", chdir("..") == 0 ? bound("a/OBJECTS") : 0);
	tell("hook", bound(".git/hooks/post-merge"));
	tell("setting", bound(".envrc"));
	umask(066);
	tell("neighbour-relative", told("own"));
	tell("neighbour-dots", told("./a/../own-2"));
	snprintf(path, sizeof path, "%s/own-3", here);
	tell("neighbour-absolute", told(path));
	tell("neighbour-temporary", told("/tmp/own"));
	unlink("/tmp/own");
	umask(022);
	tell("neighbour-through-link", bound("to-c/own"));
	tell("neighbour-again", bound("own") == -1 && errno == EADDRINUSE ? 0 : -1);
	tell("neighbour-nowhere", bound("nowhere/own") == -1 && errno == ENOENT ? 0 : -1);
	tell("neighbour-slash", bound("new/") == -1 && errno == ENOENT ? 0 : -1);
	struct sockaddr_un abstract = { .sun_family = AF_UNIX, .sun_path = "\0name" };
	int socket_ = socket(AF_UNIX, SOCK_STREAM, 0);
	tell("neighbour-abstract", bind(socket_, (struct sockaddr *)&abstract, 8));
	socket_ = socket(AF_UNIX, SOCK_STREAM, 0);
	tell("neighbour-unnamed", bind(socket_, (struct sockaddr *)&abstract, 2));
	struct sockaddr_in loopback = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socket_ = socket(AF_INET, SOCK_STREAM, 0);
	tell("neighbour-network", bind(socket_, (struct sockaddr *)&loopback, sizeof loopback));
	tell("neighbour-long", bind(socket_, (struct sockaddr *)here, 129) == -1 && errno == EINVAL ? 0 : -1);
	tell("neighbour-fault", bind(socket_, NULL, 16) == -1 && errno == EFAULT ? 0 : -1);
	/* A directory on the way that is a link now and then: to one that is a repository but for this. */
	pthread_t thread;
	long made = 0, planted = 0;
	mkdir("swapped", 0755);
	if (rmdir("a/objects") != 0)
		unlink("a/objects");
	if (symlink("a", "link") != 0 || pthread_create(&thread, NULL, swap, NULL) != 0)
		return 1;
	/* With an argument until it was planted: nobody else's threads may have had a turn so far. */
	time_t until = time(NULL) + 20;
	for (int i = 0; i < 400 || ((made <= 20 || (argc > 0 && planted == 0)) && time(NULL) < until); i++) {
		made += bound("swapped/objects") == 0;
		planted += access("a/objects", F_OK) == 0;
		unlink("swapped/objects");
		unlink("link/objects");
	}
	__atomic_store_n(&is_over, 1, __ATOMIC_SEQ_CST);
	pthread_join(thread, NULL);
	printf("raced %ld\nplanted %ld\n", made, planted);
	return 0;
}
