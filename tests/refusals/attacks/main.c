#include "attack.h"

static const struct {
	const char *name;
	attack *run;
} attacks[] = {
	{ "files", files },
	{ "reads", reads },
	{ "pins", pins },
	{ "at_descriptor", at_descriptor },
	{ "descriptors", descriptors },
	{ "set_user_id", set_user_id },
	{ "signals", signals },
	{ "owners", owners },
	{ "reach", reach },
	{ "of_itself", of_itself },
	{ "shared_memory", shared_memory },
	{ "terminal", terminal },
	{ "daemons", daemons },
	{ "stay", stay },
	{ "devices", devices },
	{ "unix_stream", unix_stream },
	{ "unix_datagram", unix_datagram },
	{ "abstract", abstract },
	{ "tcp", tcp },
	{ "sockets", sockets },
	{ "lookups", lookups },
	{ "http", http },
	{ "fastopen", fastopen },
	{ "resolve-all", resolve_all },
	{ "protocols", protocols },
	{ "take-over", take_over },
	{ "turned", turned },
	{ "turned-race", turned_race },
	{ "messages", messages },
	{ "copies", copies },
	{ "handed-on", handed_on },
	{ "raw", raw },
	{ "resolve", resolve },
	{ "datagrams", datagrams },
	{ "undo", undo },
	{ "late", late },
	{ "own", own },
	{ "receive", receive },
	{ "misfit", misfit },
	{ "handed-in", handed_in },
	{ "waiting", waiting },
	{ "queued", queued },
	{ "starved", starved },
	{ "network", network },
	{ "connects", connects },
	{ "births", births },
	{ "naive", naive },
	{ "interfaces", interfaces },
	{ "clones", clones },
	{ "legacy", legacy },
	{ "listener", listener },
	{ "kernel_files", kernel_files },
	{ "say", say },
	{ "rise", rise },
	{ "run", run },
	{ "memory", memory },
	{ "deleted", deleted },
	{ "by_descriptor", by_descriptor },
	{ "environment", environment },
	{ "explained", explained },
	{ "spawned", spawned },
	{ "full_outputs", full_outputs },
	{ "fifo", fifo },
	{ "most_arguments", most_arguments },
	{ "no_program", no_program },
	{ "odd_program", odd_program },
	{ "full_terminal", full_terminal },
	{ "mark", mark },
	{ "race", race },
	{ "names", names },
	{ "bind_names", bind_names },
	{ "race_names", race_names },
	{ "race_beside", race_beside },
	{ "naive_names", naive_names },
	{ "race_parts", race_parts },
	{ "many_names", many_names },
	{ "let_go", let_go },
	{ "own_terminal", own_terminal },
	{ "odd_names", odd_names },
	{ "orders", orders },
	{ "nesting", nesting },
	{ "wait_closed", wait_closed },
	{ "traced", traced },
	{ "closed", closed },
	{ "remap", remap },
	{ "storm", storm },
	{ "crowd", crowd },
	{ "again", again },
	{ "one_processor", one_processor },
	{ "last", last },
	{ "hide", hide },
	{ "slow", slow },
	{ "joins", joins },
	{ "beside", beside },
	{ "attributes", attributes },
	{ "beheld", beheld },
	{ "chains", chains },
	{ "chance", chance },
	{ "bystander", bystander },
	{ "bomb", bomb },
	{ "take_common", take_common },
	{ "left_common", left_common },
	{ "hog", hog },
	{ "fill_up", fill_up },
	{ "no_number", no_number },
	{ "no_space", no_space },
	{ "given_up", given_up },
	{ "mixture", mixture },
	{ "hung", hung },
	{ "make_file", make_file },
	{ "reach_own", reach_own },
	{ "forgotten", forgotten },
	{ "narrower", narrower },
	{ "standard", standard },
	{ "behind", behind },
	{ "unborn", unborn },
	{ "first_process", first_process },
	{ "lease", lease },
	{ "queues", queues },
	{ "consoles", consoles },
	{ "keys", keys },
	{ "apart", apart },
	{ "forget", forget },
};

static const struct {
	int number;
	const char *name;
} errors[] = {
	{ EPERM, "EPERM" },
	{ ENOENT, "ENOENT" },
	{ ESRCH, "ESRCH" },
	{ EBADF, "EBADF" },
	{ EAGAIN, "EAGAIN" },
	{ EACCES, "EACCES" },
	{ EBUSY, "EBUSY" },
	{ EEXIST, "EEXIST" },
	{ EXDEV, "EXDEV" },
	{ EINVAL, "EINVAL" },
	{ EFAULT, "EFAULT" },
	{ ENOTTY, "ENOTTY" },
	{ ENXIO, "ENXIO" },
	{ EROFS, "EROFS" },
	{ ENOSYS, "ENOSYS" },
	{ ELOOP, "ELOOP" },
	{ ENOTDIR, "ENOTDIR" },
	{ EISDIR, "EISDIR" },
	{ EOPNOTSUPP, "EOPNOTSUPP" },
	{ EAFNOSUPPORT, "EAFNOSUPPORT" },
	{ EPROTONOSUPPORT, "EPROTONOSUPPORT" },
	{ ECONNREFUSED, "ECONNREFUSED" },
	{ ENETUNREACH, "ENETUNREACH" },
	{ EDESTADDRREQ, "EDESTADDRREQ" },
	{ ESOCKTNOSUPPORT, "ESOCKTNOSUPPORT" },
	{ ENOTCONN, "ENOTCONN" },
	{ EISCONN, "EISCONN" },
	{ EPROTOTYPE, "EPROTOTYPE" },
	{ EINPROGRESS, "EINPROGRESS" },
	{ EINTR, "EINTR" },
	{ ENOTSOCK, "ENOTSOCK" },
	{ EIO, "EIO" },
	{ ETXTBSY, "ETXTBSY" },
	{ ENOEXEC, "ENOEXEC" },
	{ ELIBBAD, "ELIBBAD" },
	{ ETIMEDOUT, "ETIMEDOUT" },
	{ EMFILE, "EMFILE" },
	{ ENOSPC, "ENOSPC" },
};

static const char *name_of(int error)
{
	static char other[32];
	for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
		if (errors[i].number == error)
			return errors[i].name;
	snprintf(other, sizeof other, "error-%d", error);
	return other;
}

void tell(const char *what, long result)
{
	printf("%s %s\n", what, result < 0 ? name_of(errno) : "ok");
	fflush(stdout);
}

void tell_exec(const char *what, const char *program, char *const argv[], char *const envp[])
{
	int status;
	pid_t child = fork();
	if (child == 0) {
		execve(program, argv, envp);
		printf("%s %s\n", what, name_of(errno));
		fflush(stdout);
		_exit(99);
	}
	waitpid(child, &status, 0);
	if (WIFSIGNALED(status))
		printf("%s signal-%d\n", what, WTERMSIG(status));
	else if (WEXITSTATUS(status) != 99)
		printf("%s %s\n", what, WEXITSTATUS(status) == 0 ? "ok" : "failed");
	fflush(stdout);
}

long number(const char *text)
{
	return strtol(text, NULL, 10);
}

int main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < sizeof attacks / sizeof *attacks; i++)
		if (strcmp(attacks[i].name, argv[1]) == 0)
			return attacks[i].run(argc - 2, argv + 2);
	fprintf(stderr, "no such attack\n");
	return 64;
}
