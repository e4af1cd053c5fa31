"""The rollout: the specialist is restarted, one at a time, and its pods say what they have loaded."""
