"""What tests of the training job share: fitted networks, old model files, files and configurations of attackers."""
