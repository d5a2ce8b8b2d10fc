/* What a supervisor cannot do without, and nothing else: the floor that `bench supervisor` measures against, and the child
 * that every system starts. A fork cannot be written in Rust without `unsafe`, which this crate has none of.
 *
 *   floor child STAMPS        says in the file STAMPS who it is and when its program began, then waits to be ended
 *   floor loop N STAMPS       forks and execs N such children, replaces each that dies, ends all of them at SIGTERM
 *   floor flood STAMPS BYTES  the same stamp, then so many bytes in numbered lines of 100, and the end
 *   floor pump FILE BYTES     moves such a flood through a pipe of 1 MiB into FILE, 64 KiB at a time;
 *                             prints the nanoseconds that it took, and those on a processor
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint64_t nanoseconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void stamp(const char *path) {
    uint64_t record[2] = {(uint64_t)getpid(), nanoseconds(CLOCK_MONOTONIC)};
    int file = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (file < 0 || write(file, record, sizeof record) != sizeof record) fail(path);
    close(file);
}

static pid_t start(char *own, char *stamps, const sigset_t *none) {
    pid_t child = fork();
    if (child == 0) {
        char *arguments[] = {own, "child", stamps, NULL};
        sigprocmask(SIG_SETMASK, none, NULL);
        execv(own, arguments);
        _exit(127);
    }
    return child;
}

static void loop(char *own, int count, char *stamps) {
    sigset_t heard, none;
    sigemptyset(&none);
    sigemptyset(&heard);
    sigaddset(&heard, SIGCHLD);
    sigaddset(&heard, SIGTERM);
    sigprocmask(SIG_BLOCK, &heard, NULL);
    pid_t *children = calloc((size_t)count, sizeof *children);
    for (int i = 0; i < count; i++) children[i] = start(own, stamps, &none);
    for (;;) {
        if (sigwaitinfo(&heard, NULL) == SIGTERM) {
            for (int i = 0; i < count; i++) kill(children[i], SIGTERM);
            while (waitpid(-1, NULL, 0) > 0) {}
            exit(0);
        }
        pid_t dead;
        while ((dead = waitpid(-1, NULL, WNOHANG)) > 0)
            for (int i = 0; i < count; i++)
                if (children[i] == dead) children[i] = start(own, stamps, &none);
    }
}

/* Lines of 100 bytes: 89 of the same, a number of 10 digits, the newline. */
enum { LINE = 100, LINES = 655, DIGITS = 10 };

static void flood(uint64_t bytes) {
    static char block[LINE * LINES];
    char number[DIGITS];
    memset(block, 'x', sizeof block);
    memset(number, '0', sizeof number);
    while (bytes >= LINE) {
        uint64_t lines = bytes / LINE < LINES ? bytes / LINE : LINES;
        for (uint64_t i = 0; i < lines; i++) {
            char *end = block + (i + 1) * LINE - 1;
            *end = '\n';
            memcpy(end - DIGITS, number, DIGITS);
            for (int digit = DIGITS - 1; digit >= 0 && ++number[digit] > '9'; digit--) number[digit] = '0';
        }
        for (uint64_t at = 0; at < lines * LINE;) {
            ssize_t written = write(1, block + at, lines * LINE - at);
            if (written <= 0) fail("flood");
            at += (uint64_t)written;
        }
        bytes -= lines * LINE;
    }
}

static void pump(const char *path, uint64_t bytes) {
    static char buffer[64 << 10];
    int ends[2], file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    if (file < 0 || pipe2(ends, O_CLOEXEC) < 0) fail(path);
    fcntl(ends[0], F_SETPIPE_SZ, 1 << 20);
    uint64_t began = nanoseconds(CLOCK_MONOTONIC);
    if (fork() == 0) {
        dup2(ends[1], 1);
        flood(bytes);
        _exit(0);
    }
    close(ends[1]);
    ssize_t length;
    while ((length = read(ends[0], buffer, sizeof buffer)) > 0)
        if (write(file, buffer, (size_t)length) != length) fail(path);
    uint64_t took = nanoseconds(CLOCK_MONOTONIC) - began;
    printf("%llu %llu\n", (unsigned long long)took,
           (unsigned long long)nanoseconds(CLOCK_PROCESS_CPUTIME_ID));
}

int main(int count, char **arguments) {
    const char *verb = count > 2 ? arguments[1] : "";
    if (strcmp(verb, "child") == 0) {
        stamp(arguments[2]);
        for (;;) pause();
    } else if (strcmp(verb, "loop") == 0 && count == 4) {
        loop(arguments[0], atoi(arguments[2]), arguments[3]);
    } else if (strcmp(verb, "flood") == 0 && count == 4) {
        stamp(arguments[2]);
        flood(strtoull(arguments[3], NULL, 10));
    } else if (strcmp(verb, "pump") == 0 && count == 4) {
        pump(arguments[2], strtoull(arguments[3], NULL, 10));
    } else {
        return 64;
    }
    return 0;
}
