"""Points of a manifold in a plane: metric multidimensional scaling, and the embedding of heat-geodesic distances."""

from gera_jax.embedding.heat import HeatGeodesicEmbedding
from gera_jax.embedding.mds import Embedding as Embedding
from gera_jax.embedding.mds import classical_mds as classical_mds
from gera_jax.embedding.mds import metric_mds as metric_mds
from gera_jax.embedding.mds import place as place
from gera_jax.embedding.mds import sgd_mds as sgd_mds
from gera_jax.embedding.mds import smacof as smacof

__all__ = ["HeatGeodesicEmbedding"]
