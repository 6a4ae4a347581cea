"""Points of a manifold in a plane: metric multidimensional scaling, and the embedding of heat-geodesic distances."""

from gera_jax.embedding.heat import HeatGeodesicEmbedding
from gera_jax.embedding.mds import Embedding, classical_mds, metric_mds, place, sgd_mds, smacof

__all__ = ["Embedding", "HeatGeodesicEmbedding", "classical_mds", "metric_mds", "place", "sgd_mds", "smacof"]
