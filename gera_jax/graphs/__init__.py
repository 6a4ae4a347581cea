"""From points to graphs: neighbours, affinities, Laplacians, diffusion operators, and the filter made of them."""

from gera_jax.graphs.affinity import affinity
from gera_jax.graphs.filter import diffusion_filter
from gera_jax.graphs.geodesic import geodesic_similarity
from gera_jax.graphs.knn import FAISS_ROWS, knn
from gera_jax.graphs.operators import diffusion_operator, laplacian

__all__ = ["FAISS_ROWS", "affinity", "diffusion_filter", "diffusion_operator", "geodesic_similarity", "knn", "laplacian"]
