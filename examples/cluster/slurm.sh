#!/bin/bash
# An array of workers. Submit it with: sbatch slurm.sh
#SBATCH --job-name=surrogateshap
#SBATCH --array=0-7
#SBATCH --gpus-per-node=1
#SBATCH --cpus-per-task=4
#SBATCH --mem=32G
#SBATCH --time=04:00:00
#SBATCH --requeue
# Minutes before its time is over, a worker is told to stop after its batch.
#SBATCH --signal=TERM@300

# Of how many, as in --array above. It stays so when only some are submitted again, such as with sbatch --array=3,5.
shards=8

exec srun surrogateshap worker plan.json --shard "$SLURM_ARRAY_TASK_ID/$shards" --store .surrogateshap
