"""From points to graphs: neighbours, affinities, Laplacians, diffusion and heat operators, and the distances made of them.

Wrong shapes, unknown words, and numbers out of range raise `InputError` in every function; "Raises" names what a function has
beyond that.
"""

from gera_jax.graphs.geodesic import geodesic_similarity
from gera_jax.graphs.heat import heat_kernel, largest_eigenvalue
from gera_jax.graphs.heat_distance import heat_entropy, heat_geodesic_distance, knee, von_neumann_entropy
from gera_jax.graphs.knn import FAISS_ROWS, diffusion_filter, knn
from gera_jax.graphs.operators import affinity, diffusion_operator, laplacian
from gera_jax.graphs.sparse import component_count, neighbour_graph, sparse_laplacian

__all__ = [
    "FAISS_ROWS",
    "affinity",
    "component_count",
    "diffusion_filter",
    "diffusion_operator",
    "geodesic_similarity",
    "heat_entropy",
    "heat_geodesic_distance",
    "heat_kernel",
    "knee",
    "knn",
    "laplacian",
    "largest_eigenvalue",
    "neighbour_graph",
    "sparse_laplacian",
    "von_neumann_entropy",
]
