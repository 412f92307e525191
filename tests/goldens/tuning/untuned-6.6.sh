#!/bin/sh
# Settings of this host that the tuning rules want otherwise, and the commands that mend them.
# Made by vllm-monitor 0 on HOST at TIME, for tiny (URL).
# Nothing of it was run yet. Read it, then run it as root on the host itself, not in a container:
#   sh SCRIPT            mends, keeps that over a reboot, and verifies
#   sh SCRIPT --verify   only verifies
# Exit code 1: something differs from what is wanted.

set -eu
differs=0
case ${1-} in
'') mode=mend ;;
--verify) mode=verify ;;
*)
    echo "usage: sh $0 [--verify]" >&2
    exit 2
    ;;
esac

if [ "$mode" = mend ] && [ "$(id -u)" -ne 0 ]; then
    echo 'run this as root, on the host itself' >&2
    exit 2
fi

mend() { # RULE, and its commands as input; where they fail, the next rule has its turn all the same
    commands=$(cat)
    [ "$mode" = mend ] || return 0
    printf 'mending %s\n' "$1"
    sh -euc "$commands" </dev/null || {
        printf 'FAILED  %s\n' "$1" >&2
        differs=1
    }
}

# -- host.energy_preference: cpu.epp is balance_performance, should be performance (info)
# why: The cpufreq driver runs in active mode: the CPU chooses its clock by this preference, not by the
#   governor, and with any other it saves energy at the cost of each decode step.
# guide: ascend 5.1 in effect; kernel.org: intel_pstate, amd-pstate
mend host.energy_preference <<'END'
echo performance | tee /sys/devices/system/cpu/cpu*/cpufreq/energy_performance_preference >/dev/null
END

# -- host.swappiness: vm.swappiness is 60, should be at most 1 (info)
# why: A server whose memory is swapped out answers seconds late. At 0 or 1 the kernel swaps only where it would
#   otherwise run out of memory.
# guide: ascend 5.2
mend host.swappiness <<'END'
sysctl -w vm.swappiness=0
END

# -- host.numa_balancing: kernel.numa_balancing is 1, should be 0 (info)
# why: The kernel takes pages away to see who touches them, and moves them between nodes: that stalls a server
#   which is bound to its node anyway.
# guide: ascend 5.3
mend host.numa_balancing <<'END'
sysctl -w kernel.numa_balancing=0
END

# -- host.zone_reclaim: vm.zone_reclaim_mode is 1, should be 0 (info)
# why: With any other value the kernel drops caches and searches one node for memory before it takes what is
#   free on another: allocations stall while memory is left.
# guide: practice; kernel.org: sysctl/vm
mend host.zone_reclaim <<'END'
sysctl -w vm.zone_reclaim_mode=0
END

# -- host.migration_cost: kernel.sched_migration_cost_ns is 500000, should be in range 50000 to 100000 (info)
# why: The guide says "increase" and gives 50000 to 100000 ns, yet the kernel's own default is 500000: what it
#   asks for lets tasks move between CPUs sooner. Measure against the baseline, and disable this rule if the
#   default does better.
# guide: ascend 5.4
mend host.migration_cost <<'END'
knob=/proc/sys/kernel/sched_migration_cost_ns
[ -e "$knob" ] || knob=/sys/kernel/debug/sched/migration_cost_ns
echo 50000 >"$knob"
END

# -- host.thp_defrag: thp.defrag is always, should be one of madvise or defer or defer+madvise or never (info)
# why: With always any thread that touches new memory may have to wait until the kernel has made room for a huge
#   page.
# guide: practice; kernel.org: transhuge
mend host.thp_defrag <<'END'
echo madvise >/sys/kernel/mm/transparent_hugepage/defrag
END

# After a reboot: /etc/sysctl.d/90-vllm-monitor.conf; files that sort after it win
keep_sysctl() { # NAME VALUE: the line of the file, in place of an earlier one
    [ "$mode" = mend ] || return 0
    file=/etc/sysctl.d/90-vllm-monitor.conf
    mkdir -p "${file%/*}"
    touch "$file"
    { grep -v "^$1 *=" "$file" || :; } >"$file.new"
    printf '%s = %s\n' "$1" "$2" >>"$file.new"
    mv "$file.new" "$file"
}
keep_sysctl vm.swappiness 0
keep_sysctl kernel.numa_balancing 0
keep_sysctl vm.zone_reclaim_mode 0

# After a reboot: vllm-monitor-tuning.service
keep_unit() { # RULE, and as input its part of the unit, in place of an earlier one
    part=$(cat)
    [ "$mode" = mend ] || return 0
    mkdir -p /etc/systemd/system/vllm-monitor-tuning.service.d
    printf '%s\n' "$part" >/etc/systemd/system/vllm-monitor-tuning.service.d/"$1".conf
}
keep_unit host.energy_preference <<'END'
[Service]
ExecStart=-/bin/sh -c "echo performance | tee /sys/devices/system/cpu/cpu*/cpufreq/energy_performance_preference >/dev/null"
END
keep_unit host.migration_cost <<'END'
[Service]
ExecStart=-/bin/sh -c "knob=/proc/sys/kernel/sched_migration_cost_ns\n[ -e \"$$knob\" ] || knob=/sys/kernel/debug/sched/migration_cost_ns\necho 50000 >\"$$knob\""
END
keep_unit host.thp_defrag <<'END'
[Service]
ExecStart=-/bin/sh -c "echo madvise >/sys/kernel/mm/transparent_hugepage/defrag"
END
if [ "$mode" = mend ]; then
    cat >/etc/systemd/system/vllm-monitor-tuning.service <<'END'
[Unit]
Description=Settings of the host for vLLM, one part of vllm-monitor-tuning.service.d for each rule

[Service]
Type=oneshot
RemainAfterExit=yes

[Install]
WantedBy=multi-user.target
END
    if command -v systemctl >/dev/null; then
        systemctl daemon-reload
        systemctl enable vllm-monitor-tuning.service
    fi
fi

# ==== To be done by hand:

# -- host.turbo of tiny: cpu.turbo is off, should be on (info)
# why: The host's part of each step runs mostly on one thread, whose clock turbo raises. Who turned it off for
#   steady figures disables this rule.
# guide: practice; kernel.org: cpufreq, intel_pstate
# fix: echo 0 > /sys/devices/system/cpu/intel_pstate/no_turbo, or echo 1 > /sys/devices/system/cpu/cpufreq/boost; if that is refused, turn it on in the BIOS

# -- host.idle_states of tiny: cpu.idle_exit_us is 170, should be at most 99 (info)
# why: A CPU that slept deeply while it waited for the accelerator takes this many microseconds to wake, in each
#   decode step; shallow sleep costs power and some turbo. What a program such as tuned asks for in
#   /dev/cpu_dma_latency counts only where the monitor may read that: as root on the host.
# guide: practice; tuned: accelerator-performance (force_latency)
# fix: cpupower idle-set -D 99, or tuned-adm profile accelerator-performance

# -- host.swap of tiny: vm.swap is used, should be one of none or unused (info)
# why: Something on this node was swapped out: what of it is the server's is read back in the middle of an
#   answer.
# guide: practice; ascend 5.2
# fix: grep VmSwap /proc/[0-9]*/status shows whose it is; with memory free, swapoff -a && swapon -a brings it back, and swapoff -a keeps it so

# -- host.clocksource of tiny: kernel.clocksource is hpet, should be one of tsc or kvm-clock or
#   hyperv_clocksource_tsc_page or arch_sys_counter or riscv_clocksource (info)
# why: Server and drivers ask for the time many times in each step. These clocks are read by the CPU itself; any
#   other costs a slow read of a chip, or a system call, each time.
# guide: practice; kernel.org: timekeeping
# fix: dmesg | grep -i clocksource says why the kernel gave up its clock; if it is sound after all: echo tsc > /sys/devices/system/clocksource/clocksource0/current_clocksource

# ==== Unreadable, so nobody knows whether it is as it should be:
# vllm.log_stats, vllm.dummy_weights, vllm.shm, vllm.preload, vllm.allocators, vllm.env_twice, vllm.nofile, vllm.swap, vllm.cpu_room, vllm.placement_cpus, vllm.placement_memory, vllm.irqbalance: no vLLM server is seen in TREES/untuned-6.6/proc: mount the host's /proc there, or set local = "no" for this target if it runs elsewhere

holds() { # VALUE OPERATOR WANTED...
    value=$1 operator=$2
    shift 2
    case $operator in
    is | 'one of')
        for wanted; do
            [ "$value" != "$wanted" ] || return 0
        done
        return 1
        ;;
    'is not') [ "$value" != "$1" ] ;;
    'at least') [ "$value" -ge "$1" ] ;;
    'at most') [ "$value" -le "$1" ] ;;
    'in range') [ "$value" -ge "$1" ] && [ "$value" -le "$2" ] ;;
    esac
}

check() { # RULE FILES OPERATOR WANTED...: in each of the files stands what is wanted; in brackets, where it is a choice
    rule=$1 files=$2
    shift 2
    for file in $files; do
        value=$(sed 's/.*\[\(.*\)\].*/\1/' "$file" 2>/dev/null) || value=unreadable
        if ! holds "$value" "$@" 2>/dev/null; then
            printf 'DIFFERS %s: %s is %s\n' "$rule" "$file" "$value"
            differs=1
            return 0
        fi
    done
    printf 'OK      %s\n' "$rule"
}

check host.energy_preference '/sys/devices/system/cpu/cpu*/cpufreq/energy_performance_preference' is performance
check host.swappiness /proc/sys/vm/swappiness 'at most' 1
check host.numa_balancing /proc/sys/kernel/numa_balancing is 0
check host.zone_reclaim /proc/sys/vm/zone_reclaim_mode is 0
check host.migration_cost /sys/kernel/debug/sched/migration_cost_ns 'in range' 50000 100000
check host.thp_defrag /sys/kernel/mm/transparent_hugepage/defrag 'one of' madvise defer defer+madvise never
exit "$differs"
