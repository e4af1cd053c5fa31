"""The code location of the Neural Hive Mind continuous-training platform."""
