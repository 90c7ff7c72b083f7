/* A rod with a source in its middle, on several processes: each holds a part of it, and neighbours tell each
 * other their ends. A stand-in for a model that is itself parallel.
 *
 *   mpicc -O2 -o rod_mpi rod_mpi.c -lm
 *   srun -n 4 ./rod_mpi 4          (reads input.txt, writes output.txt in the working folder)
 *
 * The argument is the number of processes it was built to run on. When srun and the MPI library do not speak
 * the same language (a wrong --mpi), four processes start that each think they are alone: they would write the
 * same file four times, with wrong numbers. So it looks first, and ends with 9. */
#include <math.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

#define CELLS 32  /* of the whole rod, of length 1 */
#define SENSORS 8 /* every fourth cell */
#define END 0.1   /* time units */

int main(int argc, char **argv)
{
    int rank, size;
    double p[2]; /* diffusivity, strength of the source */
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);

    int wanted = argc > 1 ? atoi(argv[1]) : 0;
    if (size != wanted || CELLS % size != 0) {
        fprintf(stderr, "the communicator has %d processes, wanted are %d: try another `launcher`, such as "
                "\"srun --mpi=pmix\" (srun --mpi=list names them)\n", size, wanted);
        MPI_Finalize();
        return 9;
    }
    if (rank == 0) {
        FILE *in = fopen("input.txt", "r");
        if (!in || fscanf(in, "%lf %lf", &p[0], &p[1]) != 2) {
            fprintf(stderr, "cannot read two numbers from input.txt\n");
            MPI_Abort(MPI_COMM_WORLD, 2);
        }
        fclose(in);
    }
    MPI_Bcast(p, 2, MPI_DOUBLE, 0, MPI_COMM_WORLD);

    int n = CELLS / size, steps;
    double dx = 1.0 / CELLS, dt, t[CELLS + 2] = {0}, new[CELLS + 2] = {0}, all[CELLS];
    steps = (int)ceil(END * p[0] / (0.4 * dx * dx)); /* stable below 0.5 */
    if (steps < 1)
        steps = 1;
    dt = END / steps;
    int left = rank > 0 ? rank - 1 : MPI_PROC_NULL, right = rank < size - 1 ? rank + 1 : MPI_PROC_NULL;
    for (int s = 0; s < steps; s++) {
        /* Ends of the rod stay at 0: MPI_PROC_NULL leaves the ghost cells as they are. */
        MPI_Sendrecv(&t[1], 1, MPI_DOUBLE, left, 0, &t[n + 1], 1, MPI_DOUBLE, right, 0, MPI_COMM_WORLD,
                     MPI_STATUS_IGNORE);
        MPI_Sendrecv(&t[n], 1, MPI_DOUBLE, right, 1, &t[0], 1, MPI_DOUBLE, left, 1, MPI_COMM_WORLD,
                     MPI_STATUS_IGNORE);
        for (int i = 1; i <= n; i++) {
            double x = (rank * n + i - 0.5) * dx;
            double source = fabs(x - 0.5) < 0.1 ? p[1] : 0.0;
            new[i] = t[i] + dt * (p[0] * (t[i - 1] - 2 * t[i] + t[i + 1]) / (dx * dx) + source);
        }
        for (int i = 1; i <= n; i++)
            t[i] = new[i];
    }
    MPI_Gather(&t[1], n, MPI_DOUBLE, all, n, MPI_DOUBLE, 0, MPI_COMM_WORLD);
    int bad = 0;
    if (rank == 0) {
        FILE *out = fopen("output.txt", "w");
        for (int k = 0; out && k < SENSORS; k++)
            fprintf(out, "%.17g\n", all[k * (CELLS / SENSORS) + 2]);
        bad = !out || fclose(out) != 0;
    }
    MPI_Bcast(&bad, 1, MPI_INT, 0, MPI_COMM_WORLD);
    MPI_Finalize();
    return bad;
}
