"""The spec that `surrogateshap init` writes: it runs as it is, on the example, and is there to be changed."""

_TEMPLATE = """\
# A spec for surrogateshap: which model, whose data, and what "worth" means.
# It runs as it is, on the digits example. Change it to your own from top to bottom; lines that begin with `# ` and a
# key are defaults or alternatives. Check it with `surrogateshap validate`, then `plan`, `apply` and `show`.
# For completion in editors: `surrogateshap schema > surrogateshap.schema.json`.

spec_version = 1
name = "my-data"                             # of the run
seed = 0                                     # everything random derives from it

[model]                                      # the frozen model; nothing is ever retrained
source = "example:digits/model"              # a folder in diffusers layout, relative to this file
# null_class = 10                            # class-conditional models: the embedding that means "no class"

[proxy]                                      # how a coalition's images come from the model
kind = "auto"                                # "prompt", "image", or ["prompt", "image"] for both
strength = 0.6                               # image proxy: share of the noise put on a training image

[sampling]
mode = "pool"                                # "fresh": new images for each coalition, as published
scheduler = "model"                          # or "ddim", "dpmsolver++", "euler", ...
steps = 20
guidance_scale = 2.0                         # 1 switches classifier-free guidance off

[contributors]                               # the training data: one row per image
manifest = "example:digits/contributors.parquet"
condition = "label"                          # column with the class label or prompt
image = "image"                              # column with the encoded images; for the image proxy

[[contributors.grouping]]                    # one ranking per grouping, at no cost on the GPU
name = "contributor"
by = ["contributor"]                         # columns whose values, together, name the contributor
# min_rows = 5                               # smaller contributors are pooled ...
# other = "everyone else"                    # ... under this name

[[encoder]]                                  # looks at each image once, for all utilities
name = "digits"
kind = "classifier"
source = "example:digits/classifier"         # a folder in Hugging Face layout

[[utility]]                                  # what "worth" means; give as many as you like
name = "recognisable"
kind = "score"                               # a classifier's score over the images
score = "condition"                          # or "confidence", or { class = "three" }
statistic = "mean"                           # or { quantile = 0.9 }, or { above = 0.5 }

[[utility]]
name = "quality"
kind = "frechet"                             # minus the Fréchet distance to the reference
reference = "manifest"                       # or a Parquet file with an image column of the same name

# [[utility]]
# name = "closeness"
# kind = "kernel"                            # minus the kernel distance (KID; or CMMD): unbiased on few images
# reference = "manifest"

# [[utility]]
# name = "threes"
# kind = "rate"                              # share of images that the classifier assigns to one class
# class = 3

# [[utility]]
# name = "variety"
# kind = "inception"                         # inception score

# [[utility]]
# name = "diversity"
# kind = "pairwise"                          # mean distance between two images' features
# metric = "squared_euclidean"               # or "cosine"

# [[utility]]
# name = "different"
# kind = "vendi"                             # effective number of different images
# order = 1.0                                # below 1 rare images count more

# [[utility]]
# name = "evenness"
# kind = "cluster_entropy"                   # how evenly the images spread over kinds of images
# clusters = 20

# [[utility]]
# name = "reach"
# kind = "coverage"                          # share of the reference near an image; or "precision", "recall", "density"
# reference = "manifest"
# neighbours = 5

# [[utility]]
# name = "shortcut"
# kind = "association"                       # how strongly two attributes of the images go together
# between = [{ class = 3 }, { conditions = ["three"] }]  # what the classifier sees; what was asked for
# measure = "phi"                            # or "difference", or "mutual_information"

# More kinds look through encoders of other kinds: "aesthetic" and "clip_score" through `clip`, "own_image" through
# `lpips` or any other, "ms_ssim" through `pixels`.

[budget]
images_per_contributor = 100                 # or images = 1_000, for all contributors together
# coalitions = 4_000                         # default: all up to 14 contributors, else as many as a minute allows
# stop_when = { interval_width = 0.1 }       # then the budget is the most; also stable_top, gpu_hours

[empty]                                      # what no contributor at all is worth
kind = "unconditional"                       # images without a condition; or kind = "value" with value = 0.0

[estimator]
kind = "auto"                                # or "surrogate", "exact", "kernel", "permutation", "leave_one_out", ...
interactions = false                         # pairwise Shapley interactions too

[intervals]
level = 0.9
resamples = 200
top = 5                                      # how probable is it to be among the 5 highest?

[fidelity]                                   # how far from retraining? Not measured without anchors
# anchors = "retrained.parquet"              # coalitions that were really retrained, with their values
# trainer = ["python", "train.py", "{rows}", "{out}"]  # what trains one, for `surrogateshap anchors train`

[flags]
denoising_loss = false                       # true: how badly the model denoises each contributor's own images

# [payout]                                   # shares for payment, from the values; off unless asked for
# minimum = 0.01                             # smaller shares are paid nothing

[compare]                                    # other methods beside this one, for `surrogateshap compare`
images = 400                                 # that attribution methods explain
# methods = ["prompt_proxy", "banzhaf"]      # default: all that train nothing and make few images

[execution]                                  # changes how it is computed, never what
devices = "auto"                             # every GPU there is; or "cpu", "cuda", "mps", ["cuda:0", "cuda:2"]
batch_size = 256
threads = 1                                  # more for larger models; without it, the libraries choose
"""


def template() -> str:
    """A commented spec with every section and its most used keys, as TOML text."""
    return _TEMPLATE
