#!/bin/sh
# A real Slurm on this machine: one node with two slots of one CPU, started without systemd.
#
#   tests/cluster/slurm.sh start FOLDER    start munged, slurmctld and slurmd; their files are in
#                                          FOLDER (no shared or user's configuration is touched)
#   tests/cluster/slurm.sh stop FOLDER     stop these three, and no other process
#
# Debian: apt-get install -y --no-install-recommends slurm-wlm munge; run it as root.
# SLURM_TEST_SHARE=FORCE:2 lets two jobs share each slot.
# Then: export SLURM_CONF=FOLDER/slurm.conf
set -eu

if [ $# -ne 2 ]; then
    echo "usage: $0 start|stop FOLDER" >&2
    exit 2
fi
action=$1
mkdir -p "$2"
folder=$(cd "$2" && pwd)
export SLURM_CONF="$folder/slurm.conf"
PATH="$PATH:/usr/sbin:/sbin"

configure() {
    name=$(hostname -s)
    cat > "$SLURM_CONF" << END
ClusterName=test
SlurmctldHost=$name
SlurmctldPort=${SLURM_TEST_PORT:-16817}
SlurmdPort=$((${SLURM_TEST_PORT:-16817} + 1))
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
CredType=cred/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=2
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
KillWait=20
MinJobAge=60
NodeName=$name CPUs=2 RealMemory=1000 State=UNKNOWN
PartitionName=main Nodes=$name Default=YES MaxTime=1-00:00:00 State=UP OverSubscribe=${SLURM_TEST_SHARE:-NO}
PartitionName=short Nodes=$name MaxTime=10 State=UP
END
}

start() {
    for command in munged slurmctld slurmd; do
        command -v "$command" > /dev/null || { echo "$command is not installed" >&2; exit 3; }
    done
    mkdir -p "$folder/state" "$folder/spool" "$folder/munge"
    chmod 700 "$folder/munge"
    head -c 1024 /dev/urandom > "$folder/munge/key"
    chmod 400 "$folder/munge/key"
    configure
    # --force: the folder may lie below one that others may write to, as those of tests do.
    munged --force --key-file="$folder/munge/key" --socket="$folder/munge.socket" \
        --pid-file="$folder/munged.pid" --log-file="$folder/munge/log" \
        --seed-file="$folder/munge/seed" --num-threads=2
    slurmctld -f "$SLURM_CONF"
    slurmd -f "$SLURM_CONF"
    for _ in $(seq 60); do
        if sinfo --noheader --format=%T 2> /dev/null | grep -q idle; then
            sinfo
            return
        fi
        sleep 1
    done
    echo "the node did not become idle; see $folder/slurmctld.log and $folder/slurmd.log" >&2
    stop
    exit 1
}

stop() {
    if [ -s "$folder/slurmctld.pid" ]; then
        scancel --quiet --user="$(id -un)" 2> /dev/null || true
        for _ in $(seq 300); do
            [ -n "$(squeue --noheader 2> /dev/null)" ] || break
            sleep 0.1
        done
    fi
    for daemon in slurmd slurmctld munged; do
        file="$folder/$daemon.pid"
        [ -s "$file" ] || continue
        pid=$(cat "$file")
        # Only the process that this script started.
        if [ "$(cat "/proc/$pid/comm" 2> /dev/null)" = "$daemon" ]; then
            kill "$pid"
            for _ in $(seq 100); do
                [ -d "/proc/$pid" ] || break
                sleep 0.1
            done
        fi
        rm -f "$file"
    done
}

case $action in
start) start ;;
stop) stop ;;
*)
    echo "usage: $0 start|stop FOLDER" >&2
    exit 2
    ;;
esac
