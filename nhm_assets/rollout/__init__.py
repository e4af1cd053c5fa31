"""The rollout: restarts the specialist for the promoted version, and asks its pods what they have loaded."""
