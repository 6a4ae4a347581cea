"""What each loss holds while it is computed and differentiated, from the compiled program: no term may grow with n m d.

    python -m benchmarks.loss_memory               # n = 8192, d = 256; nothing is run, only compiled

`temporary` is `memory_analysis().temp_size_in_bytes` of value and gradient; an n x n float32 matrix is 256 MiB there and an
n x n x d array 64 GiB. `matrices` is the first over the size of one n x n matrix.
"""

from __future__ import annotations

import argparse
import os

os.environ["JAX_PLATFORMS"] = "cpu"

import jax

from gera_jax import losses


def cases(n: int, d: int) -> dict[str, tuple]:
    """name -> (loss, shapes of its arrays, options)."""
    pair = ((n, d), (n, d))
    return {
        "info_nce": (losses.info_nce, pair, {}),
        "symmetric_info_nce": (losses.symmetric_info_nce, pair, {}),
        "sigmoid_contrastive": (losses.sigmoid_contrastive, pair, {}),
        "nt_xent": (losses.nt_xent, pair, {}),
        "diffusion_alignment, batch": (losses.diffusion_alignment, pair, dict(form="batch")),
        "structure_divergence": (losses.structure_divergence, pair, {}),
        "structure_divergence, levels 3": (losses.structure_divergence, pair, dict(levels=3)),
        "semantic_density": (losses.semantic_density, pair, {}),
        "mmd": (losses.mmd, pair, {}),
        "mk_mmd": (losses.mk_mmd, pair, {}),
        "mk_mmd, median": (losses.mk_mmd, pair, dict(bandwidths="median")),
        "mk_mmd, 19 kernels": (losses.mk_mmd, pair, dict(bandwidths="released")),
        "m2": (losses.geodesic_mixup_contrastive, pair, dict(lam=0.3)),
        "v (mixed within)": (losses.geodesic_mixup_contrastive, pair, dict(kind="v", lam=0.3)),
        "anchor_consistency, 64": (anchored, (*pair, (64, d), (64, d)), {}),
    }


def anchored(x, z, x_anchors, z_anchors, **options):
    return losses.anchor_consistency(x, z, x_anchors=x_anchors, z_anchors=z_anchors, **options)


def temporary_bytes(loss, shapes, options) -> int:
    arrays = [jax.ShapeDtypeStruct(shape, "float32") for shape in shapes]
    compiled = jax.jit(jax.value_and_grad(lambda *v: loss(*v, **options), argnums=(0, 1))).lower(*arrays).compile()
    return compiled.memory_analysis().temp_size_in_bytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=8192)
    parser.add_argument("--d", type=int, default=256)
    args = parser.parse_args()
    print(f"{'loss':<32}{'temporary MiB':>14}{'matrices':>10}   of n m d")
    for name, (loss, shapes, options) in cases(args.n, args.d).items():
        size = temporary_bytes(loss, shapes, options)
        matrix = 4 * args.n**2
        print(f"{name:<32}{size / 2**20:>14.0f}{size / matrix:>10.1f}{size / (matrix * args.d):>10.1%}")


if __name__ == "__main__":
    main()
