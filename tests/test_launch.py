"""Which rank am I? Answered from the environment alone, as launchers were seen to set it."""

import pytest

from hpcfl.errors import LaunchError
from hpcfl.launch import LAUNCHERS, Placement, detect, first_host, tasks_per_node, unstarted

MPICH = {"PMI_RANK": "3", "PMI_SIZE": "5", "MPI_LOCALRANKID": "1", "MPI_LOCALNRANKS": "2", "PMI_FD": "7"}
OPENMPI = {
    "OMPI_COMM_WORLD_RANK": "3",
    "OMPI_COMM_WORLD_SIZE": "5",
    "OMPI_COMM_WORLD_LOCAL_RANK": "1",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
    "PMIX_RANK": "3",
}
TORCHRUN = {
    "RANK": "3",
    "WORLD_SIZE": "5",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "head",
    "MASTER_PORT": "29400",
}
# a batch script's own shell: the job's numbers, and the first task's place
BATCH = {
    "SLURM_JOB_ID": "77",
    "SLURM_NTASKS": "9",
    "SLURM_NPROCS": "9",
    "SLURM_JOB_NODELIST": "n[1-4]",
    "SLURM_NODELIST": "n[1-4]",
    "SLURM_NNODES": "4",
    "SLURM_TASKS_PER_NODE": "3,2(x3)",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "0",
}
# srun -N 4 -n 9: (local rank, node) of each of the nine
PLACES = [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (0, 2), (1, 2), (0, 3), (1, 3)]


def srun(rank, **others):
    local, node = PLACES[rank]
    step = {
        "SLURM_STEP_ID": "0",
        "SLURM_STEP_NUM_TASKS": "9",
        "SLURM_STEP_NODELIST": "n[1-4]",
        "SLURM_STEP_TASKS_PER_NODE": "3,2(x3)",
    }
    place = {"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(local), "SLURM_NODEID": str(node)}
    return {**BATCH, **step, **place, **others}


def test_nothing_means_one_process_alone():
    assert detect({}) == Placement() == Placement("none", 0, 1, 0, 1, "env", "127.0.0.1", 0)
    assert detect({"PATH": "/bin", "SLURM_CONF": "x", "OMPI_MCA_btl": "tcp"}) == Placement()


def test_mpich():
    assert detect(MPICH) == Placement("mpich", 3, 5, 1, 2, "mpi")


def test_openmpi():
    assert detect(OPENMPI) == Placement("openmpi", 3, 5, 1, 2, "mpi")


def test_torchrun():
    assert detect(TORCHRUN) == Placement("torchrun", 3, 5, 1, 2, "env", "head", 29400)


@pytest.mark.parametrize("rank", range(9))
def test_srun_on_several_nodes(rank):
    local, node = PLACES[rank]
    found = detect(srun(rank))
    assert (found.launcher, found.rank, found.size, found.bootstrap) == ("slurm", rank, 9, "env")
    assert (found.local_rank, found.local_size) == (local, [3, 2, 2, 2][node])
    assert found.master == "n1"
    assert (found.port, found.master) == (detect(srun(0)).port, detect(srun(0)).master)


def test_srun_on_one_node():
    found = detect(
        srun(2, SLURM_STEP_NUM_TASKS="3", SLURM_STEP_NODELIST="n3", SLURM_STEP_TASKS_PER_NODE="3", SLURM_NODEID="0")
    )
    assert (found.rank, found.size, found.local_rank, found.local_size, found.master) == (2, 3, 2, 3, "n3")


def test_a_step_on_some_of_the_job_s_nodes_meets_on_its_own_first():
    found = detect(
        srun(
            3,
            SLURM_STEP_NUM_TASKS="4",
            SLURM_STEP_NODELIST="n[3-4]",
            SLURM_STEP_TASKS_PER_NODE="2(x2)",
            SLURM_NODEID="1",
        )
    )
    assert (found.size, found.local_size, found.master) == (4, 2, "n3")


def test_steps_and_jobs_do_not_share_a_port():
    ports = {
        (job, step): detect(srun(1, SLURM_JOB_ID=str(job), SLURM_STEP_ID=str(step))).port
        for job in (77, 78, 79, 123_456)
        for step in range(8)
    }
    assert len(set(ports.values())) == len(ports)
    assert all(20_000 <= port < 40_000 for port in ports.values())


def test_a_batch_script_s_shell_is_one_process():
    assert detect(BATCH) == Placement()


def test_a_single_task_is_one_process():
    assert detect(srun(0, SLURM_STEP_NUM_TASKS="1")) == Placement("slurm")
    assert detect({**MPICH, "PMI_RANK": "0", "PMI_SIZE": "1"}) == Placement("mpich")


@pytest.mark.parametrize("mpirun", [MPICH, OPENMPI])
def test_mpirun_wins_over_the_slurm_step_that_carries_its_proxies(mpirun):
    """Its ranks see the step of the launcher, one task per node: SLURM_PROCID and NTASKS are not theirs."""
    lying = srun(0, SLURM_PROCID="0", SLURM_STEP_NUM_TASKS="2", SLURM_NTASKS="2")
    assert detect({**lying, **mpirun}) == detect(mpirun)


def test_torchrun_wins_over_slurm():
    assert detect({**srun(0), **TORCHRUN}) == detect(TORCHRUN)


@pytest.mark.parametrize("rank", range(9))
def test_srun_with_pmi2_knows_the_places_on_the_node(rank):
    """It sets PMI_RANK as mpirun does, but no MPI_LOCALRANKID: every rank of a node would take the first GPU."""
    assert detect(srun(rank, PMI_RANK=str(rank), PMI_SIZE="9", PMI_FD="5")) == detect(srun(rank))


@pytest.mark.parametrize(
    "nodelist, host",
    [
        ("n1", "n1"),
        ("n1,n2", "n1"),
        ("n[1-4]", "n1"),
        ("n[3-5,9],m1", "n3"),
        ("n[7,9]", "n7"),
        ("gpu-[001-128]", "gpu-001"),
        ("m1,n[3-5]", "m1"),
        ("a,b[1-2],c", "a"),
        ("n[1-2]-ib,m[3-4]", "n1-ib"),
        ("rack[1-2]n[05-16]", "rack1n05"),
        ("rack[1-2]n[05-16],login", "rack1n05"),
        ("node.example.org", "node.example.org"),
    ],
)
def test_first_host(nodelist, host):
    assert first_host(nodelist) == host


@pytest.mark.parametrize(
    "given, counts",
    [("1", [1]), ("3", [3]), ("2(x3)", [2, 2, 2]), ("3,2(x3)", [3, 2, 2, 2]), ("4(x2),1,2(x2)", [4, 4, 1, 2, 2])],
)
def test_tasks_per_node(given, counts):
    assert tasks_per_node(given) == counts


GARBAGE = [
    ({**MPICH, "PMI_RANK": "three"}, "PMI_RANK = 'three'"),
    ({**MPICH, "PMI_SIZE": ""}, "PMI_SIZE = ''"),
    ({**MPICH, "MPI_LOCALRANKID": "x"}, "MPI_LOCALRANKID = 'x'"),
    ({**MPICH, "PMI_RANK": "5"}, "PMI_RANK = 5 and PMI_SIZE = 5"),
    ({**MPICH, "PMI_RANK": "-1"}, "PMI_RANK = -1"),
    ({**MPICH, "PMI_RANK": "0", "PMI_SIZE": "0"}, "PMI_SIZE = 0"),
    ({**OPENMPI, "OMPI_COMM_WORLD_SIZE": "1.5"}, "OMPI_COMM_WORLD_SIZE = '1.5'"),
    ({**TORCHRUN, "MASTER_PORT": "http"}, "MASTER_PORT = 'http'"),
    (srun(1, SLURM_STEP_TASKS_PER_NODE="many"), "SLURM_STEP_TASKS_PER_NODE = 'many'"),
    (srun(1, SLURM_STEP_TASKS_PER_NODE="2(xtwo)"), "SLURM_STEP_TASKS_PER_NODE = '2(xtwo)'"),
    (srun(1, SLURM_JOB_ID="?"), "SLURM_JOB_ID = '?'"),
    (srun(1, SLURM_STEP_NUM_TASKS="nine"), "SLURM_STEP_NUM_TASKS = 'nine'"),
]


@pytest.mark.parametrize("environ, said", GARBAGE, ids=[said for _, said in GARBAGE])
def test_garbage_is_named(environ, said):
    with pytest.raises(LaunchError) as caught:
        detect(environ)
    assert said in str(caught.value)
    assert "should be" in str(caught.value)


@pytest.mark.parametrize("missing", ["SLURM_STEP_NODELIST", "SLURM_JOB_ID"])
def test_half_of_a_slurm_environment_is_told(missing):
    environ = srun(1)
    del environ[missing]
    with pytest.raises(LaunchError, match=f"{missing} is not set"):
        detect(environ)


def test_launchers_are_asked_in_the_order_that_lets_mpirun_win():
    names = [launcher.name for launcher in LAUNCHERS]
    assert names.index("slurm") > max(names.index("openmpi"), names.index("mpich"), names.index("torchrun"))


def test_ranks_without_torchrun_s_agent_host_the_store_themselves():
    assert not detect(TORCHRUN).hosted
    assert detect({**TORCHRUN, "TORCHELASTIC_USE_AGENT_STORE": "True"}).hosted


def test_a_missing_port_is_told():
    with pytest.raises(LaunchError, match="MASTER_PORT"):
        detect({name: value for name, value in TORCHRUN.items() if name != "MASTER_PORT"})


def test_one_process_in_a_job_of_nine_tasks_is_told():
    assert "this Slurm job has 9 tasks" in unstarted(detect(BATCH), BATCH)
    for environ in ({}, {**BATCH, "SLURM_NTASKS": "1"}, srun(0), srun(0, SLURM_STEP_NUM_TASKS="1"), {**BATCH, **MPICH}):
        assert unstarted(detect(environ), environ) == ""
