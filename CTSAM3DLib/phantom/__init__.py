"""A generated torso CT with its truth, so that demo and tests need no download."""

from CTSAM3DLib.phantom.torso import torso_phantom as torso_phantom
