"""What is measured to choose: searched noise levels, times on this machine."""
