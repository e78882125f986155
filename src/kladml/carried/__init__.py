"""Whether a loop over steps may be committed between two batches: what the source says about its local variables.

On a resume in the middle of an epoch, all that is reachable from the experiment is put back, but local variables are not: `train_epoch`
runs again from its first line, in the state that the epoch began with, and the loop then gives the batches that are left. A variable that
carries something from one batch to the next would be wrong without anyone noticing. Such loops are found here; they are committed at the
ends of epochs only.
"""

from kladml.carried.judging import bound_elsewhere as bound_elsewhere
from kladml.carried.judging import find as find
from kladml.carried.judging import judge as judge
from kladml.carried.report import Carried as Carried
from kladml.carried.report import Verdict as Verdict

__all__ = ["Carried", "Verdict", "bound_elsewhere", "find", "judge"]
