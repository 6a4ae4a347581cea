from setuptools import find_namespace_packages, find_packages, setup

# Everything else is in pyproject.toml. The configs lie beside the package, for reading, and ship inside it.
setup(
    packages=[
        *find_packages(include=["gera_jax", "gera_jax.*"]),
        "gera_jax.configs",
        *("gera_jax.configs." + name for name in find_namespace_packages("configs", exclude=["*__pycache__*"])),
    ],
    package_dir={"gera_jax.configs": "configs"},
)
