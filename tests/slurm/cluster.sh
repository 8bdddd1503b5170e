#!/usr/bin/env bash
# A Slurm cluster of three nodes on one machine, without systemd: cluster.sh up DIR | down DIR
#
# Every slurmd (Debian's may run several) is in network, host name and mount namespaces of its own behind a bridge: so
# there are three hosts with addresses of their own, which share no /dev/shm. As root; DIR must be a short path: the
# sockets of slurmd's steps lie under it. Nothing outside it is touched.
set -euo pipefail
dir=$2 prefix=hf nodes=3 gpus=2
number=$(($(cksum <<<"$dir" | cut -d' ' -f1) % 200)) # of this cluster: several may be up at once
port=$((17000 + 2 * number)) net=10.79.$number
export SLURM_CONF=$dir/slurm.conf

running() { [ -s "$1" ] && grep -qszF -- "$dir" "/proc/$(cat "$1")/cmdline" "/proc/$(cat "$1")/environ"; }
wait_for() { timeout 30 sh -c "until $1; do sleep 0.1; done" >/dev/null 2>&1; }

up() {
    ip link add "hpcfl$port" type bridge # fails where another cluster has the number
    mkdir -p "$dir"/{state,log,run}
    head -c 128 /dev/urandom >"$dir/key" && chmod 600 "$dir/key"
    munged --force --num-threads=2 --key-file="$dir/key" --socket="$dir/munge" --pid-file="$dir/run/munged.pid" \
        --log-file="$dir/log/munged" --seed-file="$dir/seed"
    ip addr add "$net.254/24" dev "hpcfl$port"
    ip link set "hpcfl$port" up
    { for ((i = 1; i <= nodes; i++)); do echo "$net.$i $prefix$i"; done && cat /etc/hosts; } >"$dir/hosts"
    printf 'options timeout:1 attempts:1\nnameserver 127.0.0.1\n' >"$dir/resolv.conf" # names are in hosts
    cat >"$SLURM_CONF" <<CONF
ClusterName=hpcfl$port
SlurmctldHost=$(hostname -s)($net.254)
SlurmctldPort=$port
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
# the second is how long a requeued job waits [s], at least
AuthInfo=socket=$dir/munge,cred_expire=5
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/%n
SlurmctldPidFile=$dir/run/slurmctld.pid
SlurmdPidFile=$dir/run/%n.pid
SlurmctldLogFile=$dir/log/slurmctld
SlurmdLogFile=$dir/log/%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
# nodes may claim more than the machine has
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=100
SchedulerParameters=batch_sched_delay=0,bf_interval=5,sched_interval=5
KillWait=5
EnforcePartLimits=ALL
MpiDefault=none
SwitchType=switch/none
MailProg=/bin/true
GresTypes=gpu
NodeName=${prefix}[1-$nodes] NodeAddr=$net.[1-$nodes] Port=$((port + 1)) CPUs=8 RealMemory=16000 Gres=gpu:$gpus
PartitionName=main Nodes=ALL Default=YES DefaultTime=10
CONF
    for ((i = 0; i < gpus; i++)); do mknod -m 666 "$dir/gpu$i" c 1 3; done # as good as /dev/null
    echo "NodeName=${prefix}[1-$nodes] Name=gpu File=$dir/gpu[0-$((gpus - 1))]" >"$dir/gres.conf"
    echo CgroupAutomount=no >"$dir/cgroup.conf" # slurmd looks for it
    wait_for "munge -S $dir/munge -n"
    slurmctld -i
    for ((i = 1; i <= nodes; i++)); do
        ip netns add "hpcfl$port-$i"
        ip link add "hf$port-$i" type veth peer name eth0 netns "hpcfl$port-$i"
        ip link set "hf$port-$i" master "hpcfl$port" up
        ip -n "hpcfl$port-$i" link set lo up
        ip -n "hpcfl$port-$i" addr add "$net.$i/24" dev eth0
        ip -n "hpcfl$port-$i" link set eth0 up
        mkdir -p "$dir/$prefix$i"
        # shellcheck disable=SC2016 # for the inner shell
        nsenter --net="/run/netns/hpcfl$port-$i" unshare --uts --mount --propagation slave sh -c '
            hostname "$1"
            mount --bind "$2/resolv.conf" "$(readlink -f /etc/resolv.conf)"
            mount --bind "$2/hosts" /etc/hosts
            mount -t tmpfs -o mode=1777 none /dev/shm
            exec slurmd -N "$1"' sh "$prefix$i" "$dir"
    done
    wait_for "[ \$(sinfo -h -N -t idle | wc -l) = $nodes ]"
}

down() {
    [ -d "$dir/run" ] || return 0
    timeout 10 scancel -u root 2>/dev/null || true
    wait_for "[ -z \"\$(timeout 5 squeue -h)\" ]" || true
    for file in "$dir"/run/*.pid; do running "$file" && kill "$(cat "$file")"; done || true
    wait_for "! pgrep -F $dir/run/slurmctld.pid" || true
    for ((i = 1; i <= nodes; i++)); do ip netns del "hpcfl$port-$i" 2>/dev/null || true; done
    ip link del "hpcfl$port" 2>/dev/null || true
}

"$1"
