"""Well-known names: what a call with such a name gives, and what it does to the objects that it is given."""

from __future__ import annotations

from kladml.carried.scopes import Names


def table(words: str) -> Names:
    """Words as a set."""
    return frozenset(words.split())


# What functions give.
FIXED = table(
    "len int float str bool bytes complex round min max sum abs range frozenset divmod pow hash id ord chr repr format isinstance"
)
ITERATORS = table("iter enumerate zip map filter reversed")
CONTAINERS = table("list dict set deque defaultdict Counter OrderedDict bytearray sorted")
ARRAYS = table("zeros ones empty full array tensor zeros_like ones_like empty_like full_like Tensor FloatTensor LongTensor ndarray")
STREAMS = table("default_rng Generator RandomState Random SeedSequence PCG64 MT19937 Philox open")
COPIES = table("copy deepcopy")
SHOWN = table("tqdm trange track Progress getLogger get_logger Console")
BARS = table("tqdm trange track")
CLOCKS = table("time time_ns monotonic monotonic_ns perf_counter perf_counter_ns process_time process_time_ns")
KEEPS_ELEMENTS = table("list tuple set sorted deque reversed iter enumerate zip dict frozenset")
WITHOUT_STATE = table("partial attrgetter itemgetter methodcaller compile jit vmap grad")

# What methods give.
FIXED_METHODS = table("item numel dim join")
ITSELF = table("to cuda cpu train eval half float double bfloat16 requires_grad_ manual_seed contiguous pin_memory")
VIEWS = table("asarray as_tensor from_numpy ravel reshape view squeeze unsqueeze transpose permute swapaxes t detach numpy expand flatten")
ELEMENTS = table("get setdefault values items pop popleft popitem")
CLONES = table("copy clone")
MODULE_WALKS = table("parameters named_parameters modules named_modules children named_children buffers named_buffers")

# What methods do.
READS = table(
    """get items keys values copy index format join split strip lower upper startswith endswith isdigit decode encode
    to cuda cpu train eval half float double item tolist size dim numel view reshape permute transpose unsqueeze squeeze detach clone
    parameters named_parameters modules named_modules children buffers state_dict contiguous expand flatten numpy t"""
)
MOVES_ONLY = table("to cuda cpu train eval")
ITEMS = table("items keys values get copy index")
ADDS = table("append extend add setdefault write writelines appendleft")
MOVES = table("insert pop remove clear sort reverse update popleft popitem rotate discard")
ARRAY_WRITES = table("fill sort put itemset resize partition setflags byteswap backward")

# What functions do with their arguments.
LOOKS = table("len print range float int isinstance str repr format type id abs round bool issubclass hasattr getattr callable hash")
CONSUMES = table("list tuple set sum min max sorted any all enumerate zip map filter dict frozenset")
PURE_MODULES = ("numpy", "torch", "math", "cmath", "statistics", "sklearn.metrics", "jax.numpy", "scipy")
WRITING_FUNCTIONS = table("copyto put place putmask fill_diagonal shuffle put_along_axis")
KEEPING_FUNCTIONS = table("save load backward")
CLIPS = table("clip_grad_norm_ clip_grad_value_")

# Methods of every experiment that change nothing of its own.
OURS = table("mean log_metric log_artifact enter steps")


def is_library_function(full_name: str) -> bool:
    """Whether a function, no class, is one of the libraries for numbers: they give arrays, lists and numbers."""
    module, _, last = full_name.rpartition(".")
    return last[:1].islower() and any(module == pure or module.startswith(f"{pure}.") for pure in PURE_MODULES)
