/* What all attacks share. Each is one function, chosen by the first argument, and says of each thing it
 * tries `NAME ok`, `NAME <error>`, on a line of its own. Whether that is so is judged from outside. */
#ifndef ATTACK_H
#define ATTACK_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

typedef int attack(int argc, char **argv);

/* Says what came of `what`: negative results are told by the name of `errno`. */
void tell(const char *what, long result);

/* Runs `program` in a child, and says how that ended: `ok`, `exit N`, `signal N` or the error. */
void tell_exec(const char *what, const char *program, char *const argv[], char *const envp[]);

/* A number among the arguments. */
long number(const char *text);

/* Runs `step` in a child of its own and tells what it returned. */
void in_child(const char *what, long (*step)(void));

/* Enters a user namespace as the same user, and `more` namespaces along with it. */
long user_namespace(int more);

/* Enters a Landlock domain in which no directory can be made. */
long domain(void);

/* Gives up every capability. */
long no_capabilities(void);

extern char **environ;

attack files, reads, pins, at_descriptor, descriptors, set_user_id;
attack signals, owners, reach, of_itself, shared_memory, terminal, daemons, stay, devices;
attack unix_stream, unix_datagram, abstract, tcp, sockets, lookups;
attack misfit, handed_in, starved;
attack late, own, receive, waiting, queued, network, connects, births, naive;
attack interfaces, clones, legacy, listener, kernel_files;
attack keys, apart, forget;
attack say, rise, run, memory, deleted, by_descriptor, environment, explained, spawned, full_outputs;
attack fifo, most_arguments, no_program, odd_program, full_terminal;
attack mark, race;
attack names, bind_names, race_names, race_beside, naive_names, many_names, race_parts, let_go, own_terminal, odd_names;
attack orders, nesting, wait_closed, traced;
attack closed, remap, storm, crowd, again, one_processor, last;
attack hide, slow, joins, beside, attributes, beheld, chains;
attack chance, bystander, bomb, hog, fill_up;
attack take_common, left_common;
attack hung, make_file, reach_own;
attack no_number, no_space, given_up, mixture;
attack http, raw, resolve, datagrams, undo, fastopen, handed_on, resolve_all, protocols, take_over;
attack turned, turned_race, messages, copies;
attack standard, behind, unborn;
attack forgotten, narrower, first_process, lease, queues, consoles;

#endif
