/*
 * A real redis-server for a test: started on a free port of 127.0.0.1 with its data in the test's own folder, asked by hand, stopped by
 * its process id. It ends with the test program, however that ends.
 */
#ifndef CATZILLA_TESTS_SERVERS_H
#define CATZILLA_TESTS_SERVERS_H

#include "suite.h"
#include "waiting.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

struct server {
    pid_t pid; /* 0: it does not run */
    int port;
};

static inline struct sockaddr_in loopback(int port)
{
    struct sockaddr_in address = {0};
    address.sin_family = AF_INET;
    address.sin_port = htons((uint16_t)port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

/* A port that nobody listens on now. Another program may take it; whoever starts a server tries again then. */
static inline int free_port(void)
{
    struct sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &size) != 0)
        fail_msg("no free port on 127.0.0.1");
    close(listener);
    return ntohs(address.sin_port);
}

/*
 * Sends one command as a line and copies the first line of the answer, without its end; for a value, the line after its length. False:
 * the server cannot be reached.
 */
static inline bool ask_server(const struct server *server, const char *command, char *answer, size_t capacity)
{
    struct sockaddr_in address = loopback(server->port);
    struct timeval patience = {5, 0};
    char text[4096], *line = text, *end;
    size_t len = 0;
    ssize_t got = 0;
    int connection = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    bool is_reached = connect(connection, (struct sockaddr *)&address, sizeof address) == 0;
    snprintf(text, sizeof text, "%s\r\n", command);
    is_reached = is_reached && write(connection, text, strlen(text)) == (ssize_t)strlen(text);
    memset(text, 0, sizeof text);
    while (is_reached && (got = read(connection, text + len, sizeof text - 1 - len)) > 0) {
        len += (size_t)got;
        end = strstr(text, "\r\n");
        if (end != NULL && (text[0] != '$' || text[1] == '-' || strstr(end + 2, "\r\n") != NULL))
            break;
    }
    close(connection);
    if (len == 0)
        return false;
    if (text[0] == '$' && text[1] != '-')
        line = strstr(text, "\r\n") + 2;
    if ((end = strstr(line, "\r\n")) != NULL)
        *end = '\0';
    snprintf(answer, capacity, "%s", line);
    return true;
}

/* The number that the server answers a command with, such as ":1". */
static inline long long number_from(const struct server *server, const char *command)
{
    char answer[64];
    if (!ask_server(server, command, answer, sizeof answer) || answer[0] != ':')
        fail_msg("%s was not answered with a number", command);
    return strtoll(answer + 1, NULL, 10);
}

static inline pid_t spawn_server(int port, const char *folder, const char *password)
{
    char port_text[16];
    snprintf(port_text, sizeof port_text, "%d", port);
    pid_t parent = getpid(), child = fork();
    if (child != 0)
        return child;
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
    if (getppid() != parent)
        _exit(126);
    int nothing = open("/dev/null", O_RDWR);
    dup2(nothing, 0);
    dup2(nothing, 1);
    dup2(nothing, 2);
    execlp("redis-server", "redis-server", "--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--port",
           port_text, "--dir", folder, "--requirepass", password, (char *)NULL);
    _exit(127);
}

/* Starts a server on the port that it has, or on a free one if that is 0, and waits until it answers. False: there is none to start. */
static inline bool try_to_start(struct server *server, const char *folder, const char *password)
{
    for (int attempt = 0; attempt < 5; attempt++) {
        int port = server->port != 0 ? server->port : free_port();
        struct server next = {spawn_server(port, folder, password), port};
        uint64_t deadline = now_ms() + PATIENCE_MS;
        char answer[128];
        int status = 0;
        while (waitpid(next.pid, &status, WNOHANG) == 0) {
            if (ask_server(&next, "PING", answer, sizeof answer) &&
                (strcmp(answer, "+PONG") == 0 || strncmp(answer, "-NOAUTH", 7) == 0)) {
                *server = next;
                return true;
            }
            if (now_ms() > deadline) {
                kill(next.pid, SIGKILL);
                waitpid(next.pid, NULL, 0);
                fail_msg("redis-server does not answer on port %d", port);
            }
            pause_ms(5);
        }
        if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
            return false;
        /* Somebody else has the port now. */
    }
    fail_msg("redis-server could not be started");
    return false;
}

/* The same; where redis-server is missing the test is skipped, in CI it fails. */
static inline void start_server(struct server *server, const char *folder, const char *password)
{
    if (try_to_start(server, folder, password))
        return;
    if (getenv("CI") != NULL)
        fail_msg("redis-server is missing (Debian: apt-get install redis-server)");
    print_message("redis-server is missing (Debian: apt-get install redis-server), so this test is skipped\n");
    skip();
}

/* Its port stays known, so that it can be started again there. */
static inline void stop_server(struct server *server)
{
    if (server->pid > 0) {
        kill(server->pid, SIGKILL);
        waitpid(server->pid, NULL, 0);
    }
    server->pid = 0;
}

#endif
