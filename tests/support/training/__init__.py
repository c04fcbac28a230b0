"""What tests of the training job share: small fitted networks, old model files, configurations and files of attackers."""
