/* One byte there and back over TCP, again and again: what a request waits for the network.
 *
 *     pingpong serve PORT            one connection after the other
 *     pingpong ask ADDRESS PORT N    prints the median and the 99th percentile of N round trips in microseconds
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int tcp(void)
{
    int s = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    if (s < 0)
        err(1, "socket");
    setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    return s;
}

static void serve(int port)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(port)};
    int s = tcp(), c, on = 1;
    char byte;
    if (bind(s, (void *)&here, sizeof here) || listen(s, 16))
        err(1, "port %d", port);
    while ((c = accept(s, 0, 0)) >= 0) {
        setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        while (read(c, &byte, 1) == 1 && write(c, &byte, 1) == 1)
            ;
        close(c);
    }
}

static int order(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static void ask(const char *address, int port, int count)
{
    struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons(port)};
    double *taken = calloc(count, sizeof *taken);
    int s = tcp();
    char byte = 0;
    if (inet_pton(AF_INET, address, &there.sin_addr) != 1 || connect(s, (void *)&there, sizeof there))
        err(1, "%s:%d", address, port);
    for (int i = 0; i < count; i++) {
        double begun = now();
        if (write(s, &byte, 1) != 1 || read(s, &byte, 1) != 1)
            err(1, "round %d", i);
        taken[i] = now() - begun;
    }
    qsort(taken, count, sizeof *taken, order);
    printf("%.2f %.2f\n", taken[count / 2], taken[count * 99 / 100]);
}

int main(int count, char **words)
{
    if (count == 3 && !strcmp(words[1], "serve"))
        serve(atoi(words[2]));
    else if (count == 5 && !strcmp(words[1], "ask"))
        ask(words[2], atoi(words[3]), atoi(words[4]));
    else
        errx(2, "serve PORT | ask ADDRESS PORT COUNT");
    return 0;
}
