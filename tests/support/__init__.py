"""What tests share: clusters in memory and real ones, fakes, random input, and expectations computed independently."""
