/* A file system that answers what it is asked about names, and nothing about what is in them. Run without us. */
#include "attack.h"
#include <linux/fuse.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { LONGEST = 1 << 17, TOP = FUSE_ROOT_ID, NEVER, ONCE, BELOW, SOCKET, LAST = SOCKET };

static const char *const there[] = { [NEVER] = "never", [ONCE] = "once", [BELOW] = "below", [SOCKET] = "socket" };
static char program[1 << 20];
static ssize_t length;
static int opened, listed, bound_;

static void answer(int fuse, const struct fuse_in_header *asked, int error, const void *what, size_t size)
{
	static char bytes[sizeof(struct fuse_out_header) + LONGEST];
	struct fuse_out_header head = { (uint32_t)(sizeof head + size), -error, asked->unique };

	memcpy(bytes, &head, sizeof head);
	if (size)
		memcpy(bytes + sizeof head, what, size);
	if (write(fuse, bytes, head.len) < 0 && errno != ENOENT)
		perror("hung: answer");
}

static struct fuse_attr about(uint64_t node)
{
	int is_directory = node == TOP || node == BELOW;
	uint32_t mode = is_directory ? S_IFDIR | 0777 : node == SOCKET ? S_IFSOCK | 0777 : S_IFREG | 0755;

	return (struct fuse_attr){ .ino = node, .mode = mode, .nlink = 1,
				   .size = is_directory ? 0 : (uint64_t)length, .blksize = 4096 };
}

static void look_up(int fuse, const struct fuse_in_header *asked, const char *name)
{
	for (uint64_t node = NEVER; asked->nodeid == TOP && node <= LAST; node++)
		if (strcmp(there[node], name) == 0 && (node != SOCKET || bound_)) {
			struct fuse_entry_out found = { .nodeid = node, .attr = about(node) };
			return answer(fuse, asked, 0, &found, sizeof found);
		}
	answer(fuse, asked, ENOENT, NULL, 0);
}

static void serve(int fuse, const struct fuse_in_header *asked, const void *arguments)
{
	const struct fuse_read_in *part = arguments;
	struct fuse_init_out all = { .major = FUSE_KERNEL_VERSION, .minor = 31, .max_write = 4096 };
	struct fuse_attr_out attributes = { .attr = about(asked->nodeid) };
	struct fuse_open_out open = { .open_flags = FOPEN_DIRECT_IO };
	struct fuse_statfs_out size = { .st = { .bsize = 4096, .namelen = 255 } };

	switch (asked->opcode) {
	case FUSE_INIT:
		return answer(fuse, asked, 0, &all, sizeof all);
	case FUSE_OPENDIR:
		open.open_flags = 0;
		return answer(fuse, asked, 0, &open, sizeof open);
	case FUSE_GETATTR:
		return answer(fuse, asked, 0, &attributes, sizeof attributes);
	case FUSE_LOOKUP:
		return look_up(fuse, asked, arguments);
	case FUSE_STATFS:
		/* Where a socket is bound, nobody is told of what kind the file system is. */
		if (bound_)
			return;
		return answer(fuse, asked, 0, &size, sizeof size);
	case FUSE_OPEN:
		/* Whoever looks at it first may have it; then nobody. */
		open.open_flags = 0;
		if (asked->nodeid == ONCE && opened++ == 0)
			answer(fuse, asked, 0, &open, sizeof open);
		return;
	case FUSE_READ: {
		ssize_t left = length - (ssize_t)part->offset;
		left = left < 0 ? 0 : left > (ssize_t)part->size ? (ssize_t)part->size : left;
		return answer(fuse, asked, 0, program + part->offset, (size_t)left);
	}
	case FUSE_READDIR:
		/* Who looks at it when a session begins finds nothing in it; then nobody is answered. */
		if (listed++ == 0)
			answer(fuse, asked, 0, NULL, 0);
		return;
	case FUSE_MKNOD: {
		const struct fuse_mknod_in *made = arguments;
		if (!S_ISSOCK(made->mode))
			return;
		bound_ = 1;
		return look_up(fuse, asked, there[SOCKET]);
	}
	case FUSE_CREATE:
	case FUSE_MKDIR:
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		return;
	case FUSE_RELEASE:
	case FUSE_RELEASEDIR:
	case FUSE_FLUSH:
	case FUSE_ACCESS:
		return answer(fuse, asked, 0, NULL, 0);
	default:
		return answer(fuse, asked, ENOSYS, NULL, 0);
	}
}

/* make_file FILE: makes it, and opens it. */
int make_file(int argc, char **argv)
{
	(void)argc;
	tell("make", open(argv[0], O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
	return 0;
}

/* reach_own PATH: listens there, and connects to it. */
int reach_own(int argc, char **argv)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int server = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);
	(void)argc;

	strncpy(address.sun_path, argv[0], sizeof address.sun_path - 1);
	tell("listen", bind(server, (struct sockaddr *)&address, sizeof address) < 0 ? -1 : listen(server, 1));
	tell("reach", connect(client, (struct sockaddr *)&address, sizeof address));
	return 0;
}

/* hung PLACE PROGRAM: mounts it there, says so, and answers until it is ended. PROGRAM is what its files hold. */
int hung(int argc, char **argv)
{
	static char question[LONGEST + 4096];
	char options[128];
	int fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC), file = open(argv[1], O_RDONLY | O_CLOEXEC);
	(void)argc;

	if (fuse < 0 || file < 0 || (length = read(file, program, sizeof program)) <= 0) {
		perror("hung: open");
		return 1;
	}
	snprintf(options, sizeof options, "fd=%d,rootmode=40777,user_id=0,group_id=0,allow_other", fuse);
	if (mount("hung", argv[0], "fuse.hung", MS_NOSUID | MS_NODEV, options)) {
		perror("hung: mount");
		return 1;
	}
	printf("mounted\n");
	fflush(stdout);
	for (;;) {
		ssize_t got = read(fuse, question, sizeof question);
		if (got < 0 && errno != EINTR && errno != EAGAIN)
			return 0;
		if (got >= (ssize_t)sizeof(struct fuse_in_header))
			serve(fuse, (const void *)question, question + sizeof(struct fuse_in_header));
	}
}
